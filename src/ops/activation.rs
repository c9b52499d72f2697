//! The gate of the feed-forward network.

#![forbid(unsafe_code)]

use super::exp::exp;

/// The function applied to the gate projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `max(x, 0)^2`, of BitNet b1.58 2B.
    Relu2,
}

impl Activation {
    /// `out = f(gate) * up`, element by element.
    pub fn gate(self, gate: &[f32], up: &[f32], out: &mut [f32]) {
        let inputs = gate.iter().zip(up);
        match self {
            Self::Silu => out.iter_mut().zip(inputs).for_each(|(out, (g, u))| *out = *g / (1.0 + exp(-*g)) * u),
            Self::Relu2 => out.iter_mut().zip(inputs).for_each(|(out, (g, u))| *out = g.max(0.0).powi(2) * u),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_as_defined() {
        let up = [1.0, 2.0, 3.0];
        let (mut silu, mut relu2) = ([0.0; 3], [0.0; 3]);
        Activation::Silu.gate(&[0.0, 1.0, -2.0], &up, &mut silu);
        // torch.nn.functional.silu(torch.tensor([0., 1., -2.])) * up
        for (got, expected) in silu.into_iter().zip([0.0, 1.462_117_2, -0.715_217_5]) {
            assert!((got - expected as f32).abs() < 1e-6, "{got} {expected}");
        }
        Activation::Relu2.gate(&[-3.0, 0.5, 2.0], &up, &mut relu2);
        assert_eq!(relu2, [0.0, 0.5, 12.0]);
    }
}
