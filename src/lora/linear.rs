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
        let mut y = self.frozen.forward(g, x)?;
        if let Some(bias) = self.frozen.bias {
            y = g.add(y, bias)?;
        }
        let Some(fitted) = &self.fitted else {
            return Ok(y);
        };
        let narrow = fitted.narrowed(g, fitted.dropped(g, x)?)?;
        g.add(y, columns(g, fitted.b, narrow)?)
    }

    /// The gradient of x from that of y; those of A and B go to their places.
    ///
    /// # Errors
    /// [`GgmlError`].
    pub fn backward(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>, grad: Tensor<'g>) -> Made<'g> {
        let dx = self.frozen.backward(g, grad)?;
        let Some(fitted) = &self.fitted else {
            return Ok(dx);
        };
        let d_dropped = fitted.backward(g, x, grad)?;
        let dx_fitted = match fitted.dropout {
            Some(kept) => g.mul(d_dropped, kept)?,
            None => d_dropped,
        };
        g.add(dx, dx_fitted)
    }
}

impl<'g> Fitted<'g> {
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

    /// With u = scale · A x and y = B u: du = scale · Bᵀ dy, dB = dy uᵀ, dA = du xᵀ, dx = Aᵀ du.
    fn backward(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>, grad: Tensor<'g>) -> Made<'g> {
        let x = self.dropped(g, x)?;
        let u = self.narrowed(g, x)?;
        g.place(g.product((u, Over::Rows), (grad, Over::Rows))?, self.b_gradient)?;
        let du = g.product((self.b, Over::Rows), (grad, Over::Columns))?;
        let du = g.scale(du, self.scale, 0.0)?;
        g.place(g.product((x, Over::Rows), (du, Over::Rows))?, self.a_gradient)?;
        g.product((self.a, Over::Rows), (du, Over::Columns))
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
