//! The activation function of a gated feed-forward network (arXiv:2002.05202).

#![forbid(unsafe_code)]

use super::exp::Exp;

/// The function applied to the gate projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `max(x, 0)^2`, of BitNet b1.58 2B.
    Relu2,
}

impl Activation {
    /// `out = f(gate) * up`, elementwise, for every row `(gate, up, out)`.
    pub fn gate<'a>(self, rows: impl Iterator<Item = (&'a [f32], &'a [f32], &'a mut [f32])>) {
        match self {
            Self::Silu => {
                let exp = Exp::new();
                for_each_row(rows, |g, u| g / (1.0 + exp.of(-g)) * u);
            }
            Self::Relu2 => for_each_row(rows, |g, u| g.max(0.0).powi(2) * u),
        }
    }
}

#[inline(always)]
fn for_each_row<'a>(rows: impl Iterator<Item = (&'a [f32], &'a [f32], &'a mut [f32])>, f: impl Fn(f32, f32) -> f32) {
    for (gate, up, out) in rows {
        out.iter_mut().zip(gate.iter().zip(up)).for_each(|(out, (g, u))| *out = f(*g, *u));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn gates_by_the_definition() {
        let up = [1.0, 2.0, 3.0];
        let (mut silu, mut relu2) = ([0.0; 3], [0.0; 3]);
        Activation::Silu.gate([(&[0.0, 1.0, -2.0][..], &up[..], &mut silu[..])].into_iter());
        // torch.nn.functional.silu(torch.tensor([0., 1., -2.])) * up
        for (got, expected) in silu.into_iter().zip([0.0, 1.462_117_2, -0.715_217_5]) {
            assert!((got - expected as f32).abs() < 1e-6, "{got} {expected}");
        }
        Activation::Relu2.gate([(&[-3.0, 0.5, 2.0][..], &up[..], &mut relu2[..])].into_iter());
        assert_eq!(relu2, [0.0, 0.5, 12.0]);
    }
}
