//! Which weight types are tried: a recipe gives each kind of matrix its type.
//!
//! On x86 the types of 4 bits that ggml interleaves when it loads them (IQ4_NL, Q4_K) multiply a
//! batch fastest, then those that it multiplies in tiles (Q8_0, Q5_0, Q6_K); Q4_1 and Q5_1 have
//! neither. IQ4_NL has the size and speed of Q4_0 and loses less. The order of size is not the
//! order of speed, and other machines differ: hence measuring.

use crate::gguf::{TensorInfo, TensorType};

/// A way to choose types.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// What it is called in tables.
    pub name: &'static str,
    attention: TensorType,
    /// The values' matrix and the attention's output, which lose most.
    values: TensorType,
    gate_and_up: TensorType,
    down: TensorType,
    /// Token embedding and output; `None` leaves them as they are.
    ends: Option<TensorType>,
}

impl Recipe {
    const fn uniform(name: &'static str, kind: TensorType) -> Self {
        Self { name, attention: kind, values: kind, gate_and_up: kind, down: kind, ends: None }
    }

    /// The type of a matrix.
    #[must_use]
    pub fn kind_of(&self, tensor: &TensorInfo<'_>) -> TensorType {
        let part = tensor.name.trim_end_matches(".weight").rsplit('.').next().unwrap_or_default();
        match part {
            "attn_q" | "attn_k" => self.attention,
            "attn_v" | "attn_output" => self.values,
            "ffn_gate" | "ffn_up" => self.gate_and_up,
            "ffn_down" => self.down,
            _ => self.ends.unwrap_or(tensor.kind),
        }
    }
}

/// All that are tried, those that lose least first.
#[must_use]
pub fn recipes() -> Vec<Recipe> {
    use TensorType::{IQ4_NL, Q4_0, Q4_K, Q5_0, Q8_0};
    let q8_0 = Recipe::uniform("q8_0", Q8_0);
    let iq4_nl = Recipe::uniform("iq4_nl", IQ4_NL);
    vec![
        q8_0,
        Recipe { name: "q8_0, down q4_k", down: Q4_K, ..q8_0 },
        Recipe { name: "q8_0, gate and up iq4_nl", gate_and_up: IQ4_NL, ..q8_0 },
        Recipe {
            name: "q8_0, feed-forward iq4_nl and q4_k",
            gate_and_up: IQ4_NL,
            down: Q4_K,
            ..q8_0
        },
        Recipe { name: "q5_0, down q4_k", down: Q4_K, ..Recipe::uniform("", Q5_0) },
        Recipe { name: "iq4_nl, values q8_0, down q4_k", values: Q8_0, down: Q4_K, ..iq4_nl },
        Recipe { name: "q4_k", ..Recipe::uniform("", Q4_K) },
        iq4_nl,
        Recipe { name: "iq4_nl, ends too", ends: Some(IQ4_NL), ..iq4_nl },
        Recipe::uniform("q4_0", Q4_0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &'static str) -> TensorInfo<'static> {
        TensorInfo {
            name,
            dimensions: vec![256, 256],
            kind: TensorType::F16,
            offset_bytes: 0,
            size_bytes: 0,
        }
    }

    #[test]
    fn each_matrix_has_the_type_of_its_part() {
        let recipes = recipes();
        let mixed = recipes.iter().find(|it| it.name.starts_with("iq4_nl, values")).unwrap();
        let kind = |name| mixed.kind_of(&tensor(name));
        assert_eq!(kind("blk.3.attn_q.weight"), TensorType::IQ4_NL);
        assert_eq!(kind("blk.3.attn_output.weight"), TensorType::Q8_0);
        assert_eq!(kind("blk.11.ffn_down.weight"), TensorType::Q4_K);
        assert_eq!(kind("token_embd.weight"), TensorType::F16);
        assert_eq!(kind("output.weight"), TensorType::F16);
    }

    #[test]
    fn no_two_have_the_same_name() {
        let mut names: Vec<_> = recipes().iter().map(|recipe| recipe.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), recipes().len());
    }
}
