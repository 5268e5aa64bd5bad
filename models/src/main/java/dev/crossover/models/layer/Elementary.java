// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Gelu;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// Elementwise functions and their derivatives over ranges of arrays, in plain loops around the
/// exponential and the hyperbolic tangent of the kernels.
final class Elementary {
  private static final Kernels KERNELS = Kernels.get();
  private static final float LOG2E = 1.44269504f;
  private static final float LN2 = 0.693147181f;

  /// √(2/π) and the cubic factor of the approximation of GELU.
  private static final float GELU_SCALE = 0.797884561f;

  private static final float GELU_CUBE = 0.044715f;

  private Elementary() {}

  /// `y = σ(x)`; x and y may be the same range.
  static void sigmoid(int n, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] = Math.max(x[xo + i], -80f);
    }
    KERNELS.exp(n, -1, 0, y, yo, y, yo);
    for (int i = 0; i < n; i++) {
      y[yo + i] = 1 / (1 + y[yo + i]);
    }
  }

  /// `y = log(1 + exp(x))`; the ranges may not overlap.
  static void softplus(int n, float[] x, int xo, float[] work, int wo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      work[wo + i] = x[xo + i] * LOG2E;
    }
    KERNELS.softplus2(n, work, wo, y, yo);
    for (int i = 0; i < n; i++) {
      y[yo + i] *= LN2;
    }
  }

  /// `y = tanh(x)`; x and y may be the same range.
  static void tanh(int n, float[] x, int xo, float[] y, int yo) {
    KERNELS.tanh(n, x, xo, y, yo);
  }

  /// An elementwise function with its derivative.
  enum Function {
    /// The identity.
    NONE {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        System.arraycopy(x, xo, y, yo, n);
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        Arrays.fill(d, o, o + n, 1);
      }
    },
    /// max(x, 0).
    RELU {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        KERNELS.relu(n, 0, x, xo, y, yo);
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        for (int i = 0; i < n; i++) {
          d[o + i] = x[xo + i] > 0 ? 1f : 0f;
        }
      }
    },
    /// x/2 (1 + erf(x/√2)).
    GELU {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        Gelu.apply(n, x, xo, y, yo);
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        Gelu.slope(n, x, xo, d, o);
      }
    },
    /// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))).
    GELU_TANH {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        argument(n, x, xo, work, 0);
        KERNELS.tanh(n, work, 0, work, 0);
        for (int i = 0; i < n; i++) {
          y[yo + i] = 0.5f * x[xo + i] * (1 + work[i]);
        }
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        argument(n, x, xo, work, 0);
        KERNELS.tanh(n, work, 0, work, 0);
        for (int i = 0; i < n; i++) {
          float t = work[i];
          float v = x[xo + i];
          float inner = GELU_SCALE * (1 + 3 * GELU_CUBE * v * v);
          d[o + i] = 0.5f * (1 + t) + 0.5f * v * (1 - t * t) * inner;
        }
      }

      private void argument(int n, float[] x, int xo, float[] y, int yo) {
        for (int i = 0; i < n; i++) {
          float v = x[xo + i];
          y[yo + i] = GELU_SCALE * (v + GELU_CUBE * v * v * v);
        }
      }
    },
    /// x σ(x).
    SILU {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        sigmoid(n, x, xo, work, 0);
        for (int i = 0; i < n; i++) {
          y[yo + i] = x[xo + i] * work[i];
        }
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        sigmoid(n, x, xo, d, o);
        for (int i = 0; i < n; i++) {
          float s = d[o + i];
          d[o + i] = s + x[xo + i] * s * (1 - s);
        }
      }
    },
    /// σ(x).
    SIGMOID {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        sigmoid(n, x, xo, y, yo);
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        sigmoid(n, x, xo, d, o);
        for (int i = 0; i < n; i++) {
          d[o + i] *= 1 - d[o + i];
        }
      }
    },
    /// tanh x.
    TANH {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        KERNELS.tanh(n, x, xo, y, yo);
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        KERNELS.tanh(n, x, xo, d, o);
        for (int i = 0; i < n; i++) {
          d[o + i] = 1 - d[o + i] * d[o + i];
        }
      }
    },
    /// log(1 + exp(x)).
    SOFTPLUS {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        softplus(n, x, xo, work, 0, y, yo);
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        sigmoid(n, x, xo, d, o);
      }
    },
    /// log σ(x).
    LOG_SIGMOID {
      @Override
      void apply(int n, float[] x, int xo, float[] y, int yo, float[] work) {
        for (int i = 0; i < n; i++) {
          work[i] = -LOG2E * x[xo + i];
        }
        KERNELS.softplus2(n, work, 0, y, yo);
        for (int i = 0; i < n; i++) {
          y[yo + i] *= -LN2;
        }
      }

      @Override
      void derivative(int n, float[] x, int xo, float[] d, int o, float[] work) {
        for (int i = 0; i < n; i++) {
          d[o + i] = -x[xo + i];
        }
        sigmoid(n, d, o, d, o);
      }
    };

    /// `y = f(x)`; the ranges may not overlap.
    ///
    /// @param work scratch of n floats
    abstract void apply(int n, float[] x, int xo, float[] y, int yo, float[] work);

    /// `d = f'(x)`; the ranges may not overlap.
    ///
    /// @param work scratch of n floats
    abstract void derivative(int n, float[] x, int xo, float[] d, int o, float[] work);
  }
}
