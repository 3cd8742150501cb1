//! y = W x + bias + scale · B (A dropped(x)), and its gradients.

use super::weights::Frozen;
use crate::ggml::{GgmlError, Graph, Over, Tensor};

/// A matrix and what is fitted beside it.
#[derive(Clone, Copy)]
pub struct Linear<'t> {
    /// What stays.
    pub frozen: Frozen<'t>,
    /// What is fitted, where anything is.
    pub fitted: Option<Fitted<'t>>,
}

/// The fitted matrices of one projection, and where their gradients go.
#[derive(Clone, Copy)]
pub struct Fitted<'t> {
    /// [n_in, rank].
    pub a: Tensor<'t>,
    /// [rank, n_out].
    pub b: Tensor<'t>,
    /// As `a`.
    pub a_gradient: Tensor<'t>,
    /// As `b`.
    pub b_gradient: Tensor<'t>,
    /// What B (A x) is multiplied by.
    pub scale: f32,
    /// [n_in, rows]: 0 where an input is dropped, 1 / (1 - rate) elsewhere.
    pub dropout: Option<Tensor<'t>>,
}

type Made<'g> = Result<Tensor<'g>, GgmlError>;

impl<'g> Linear<'g> {
    /// y of `x`: [n_in, rows] to [n_out, rows].
    ///
    /// # Errors
    /// [`GgmlError`].
    pub fn forward(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>) -> Made<'g> {
        let y = match (self.merges(g, x), &self.fitted) {
            (Some(fitted), _) => {
                let weight = g.decoded_transposed(self.frozen.weight)?;
                let (b, a) = ((fitted.b, Over::Columns), (fitted.a, Over::Rows));
                let merged = g.product_onto(weight, b, a, fitted.scale)?;
                g.product((merged, Over::Rows), (x, Over::Columns))?
            }
            (None, Some(fitted)) => g.add(self.frozen.forward(g, x)?, fitted.forward(g, x)?)?,
            (None, None) => self.frozen.forward(g, x)?,
        };
        self.frozen.bias.map_or(Ok(y), |bias| g.add(y, bias))
    }

    /// The gradient of x from that of y; those of A and B go to their places.
    ///
    /// # Errors
    /// [`GgmlError`].
    pub fn backward(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>, grad: Tensor<'g>) -> Made<'g> {
        let Some(fitted) = &self.fitted else {
            return self.frozen.backward(g, grad);
        };
        let du = fitted.gradients(g, x, grad)?;
        if self.merges(g, x).is_none() {
            return g.add(self.frozen.backward(g, grad)?, fitted.backward(g, du)?);
        }
        let weight = g.decoded_copy(self.frozen.weight)?;
        let (a, b) = ((fitted.a, Over::Rows), (fitted.b, Over::Columns));
        let merged = g.product_onto(weight, a, b, fitted.scale)?;
        g.product((merged, Over::Rows), (grad, Over::Columns))
    }

    /// What is fitted, where W + scale · B A is made and multiplied with: where that is less work
    /// than to multiply with both, the rows of `x` being many, and each row is given the same.
    fn merges(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>) -> Option<Fitted<'g>> {
        let [n_in, n_out, ..] = self.frozen.weight.shape();
        let pays = x.shape()[1] * (n_in + n_out) >= n_in * n_out;
        let can = g.adds_products() && self.frozen.transposed.is_none();
        self.fitted.filter(|fitted| can && pays && fitted.dropout.is_none())
    }
}

impl<'g> Fitted<'g> {
    /// scale · B A x
    fn forward(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>) -> Made<'g> {
        columns(g, self.b, self.narrowed(g, self.dropped(g, x)?)?)
    }

    fn dropped(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>) -> Made<'g> {
        match self.dropout {
            Some(kept) => g.mul(x, kept),
            None => Ok(x),
        }
    }

    /// scale · A x
    fn narrowed(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>) -> Made<'g> {
        g.scale(columns(g, self.a, x)?, self.scale, 0.0)
    }

    /// With u = scale · A x and y = B u, puts dB = dy uᵀ and dA = du xᵀ in their places and gives
    /// du = scale · Bᵀ dy.
    fn gradients(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>, grad: Tensor<'g>) -> Made<'g> {
        let x = self.dropped(g, x)?;
        let u = self.narrowed(g, x)?;
        g.place(g.product((u, Over::Rows), (grad, Over::Rows))?, self.b_gradient)?;
        let du = g.product((self.b, Over::Rows), (grad, Over::Columns))?;
        let du = g.scale(du, self.scale, 0.0)?;
        g.place(g.product((x, Over::Rows), (du, Over::Rows))?, self.a_gradient)?;
        Ok(du)
    }

    /// dx = Aᵀ du
    fn backward(&self, g: &'g Graph<'g, '_>, du: Tensor<'g>) -> Made<'g> {
        let dx = g.product((self.a, Over::Rows), (du, Over::Columns))?;
        self.dropout.map_or(Ok(dx), |kept| g.mul(dx, kept))
    }
}

/// `a` x, as ggml writes matrices: the dimension that is summed over first.
fn columns<'g>(g: &'g Graph<'g, '_>, a: Tensor<'g>, x: Tensor<'g>) -> Made<'g> {
    g.product((a, Over::Columns), (x, Over::Columns))
}

impl<'g> Frozen<'g> {
    /// y of `x`: [n_in, rows] to [n_out, rows], without bias.
    ///
    /// # Errors
    /// [`GgmlError`].
    pub fn forward(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>) -> Made<'g> {
        columns(g, self.decoded(g)?, x)
    }

    /// The gradient of x from that of y.
    ///
    /// # Errors
    /// [`GgmlError`].
    pub fn backward(&self, g: &'g Graph<'g, '_>, grad: Tensor<'g>) -> Made<'g> {
        match self.transposed {
            Some(transposed) => columns(g, transposed, grad),
            None => g.product((self.decoded(g)?, Over::Rows), (grad, Over::Columns)),
        }
    }

    /// Without a transposed copy, a matrix is one that is multiplied in 32 bits.
    fn decoded(&self, g: &'g Graph<'g, '_>) -> Made<'g> {
        if self.transposed.is_some() { Ok(self.weight) } else { g.decoded(self.weight) }
    }
}
