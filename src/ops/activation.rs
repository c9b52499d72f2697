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
    /// `gate = f(gate) * up`, element by element.
    pub fn gate(self, gate: &mut [f32], up: &[f32]) {
        match self {
            Self::Silu => gate.iter_mut().zip(up).for_each(|(g, u)| *g = *g / (1.0 + exp(-*g)) * u),
            Self::Relu2 => gate.iter_mut().zip(up).for_each(|(g, u)| *g = g.max(0.0).powi(2) * u),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_as_defined() {
        let up = [1.0, 2.0, 3.0];
        let mut silu = [0.0, 1.0, -2.0];
        Activation::Silu.gate(&mut silu, &up);
        // torch.nn.functional.silu(torch.tensor([0., 1., -2.])) * up
        for (got, expected) in silu.into_iter().zip([0.0, 1.462_117_2, -0.715_217_5]) {
            assert!((got - expected as f32).abs() < 1e-6, "{got} {expected}");
        }
        let mut relu2 = [-3.0, 0.5, 2.0];
        Activation::Relu2.gate(&mut relu2, &up);
        assert_eq!(relu2, [0.0, 0.5, 12.0]);
    }
}
