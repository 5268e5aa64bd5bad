package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule;
import java.util.Arrays;

/// Mamba-2's layer core: time steps scale decay rates and inputs, a skip and a gate complete the
/// output.
///
/// ```
/// S_t   = exp(dt_t A) S_{t−1} + dt_t k_t x_tᵀ
/// out_t = (S_tᵀ q_t + D x_t) · silu(z_t)
/// ```
final class Mamba2Layer implements UpdateRule {
  private static final float[] ABSENT = new float[0];

  /// From here on softplus(x) = x in float32.
  private static final double LINEAR = 20;

  private final int groups;
  private final boolean softplus;
  private final int valueDim;
  private float[] timeStep = ABSENT;
  private float[] bias = ABSENT;
  private float[] rate = ABSENT;
  private float[] skip = ABSENT;
  private float[] gate = ABSENT;
  private float[] x = ABSENT;
  private float[] gradTimeStep = UNWANTED;
  private float[] gradBias = UNWANTED;
  private float[] gradRate = UNWANTED;
  private float[] gradSkip = UNWANTED;
  private float[] gradGate = UNWANTED;
  private float[] gradX = UNWANTED;
  private float[] logDecayGradients = UNWANTED;
  private float[] strengthGradients = UNWANTED;
  private double[] skipParts = new double[0];
  private int heads;
  private int problems;
  private int tokens;

  Mamba2Layer(int groups, boolean softplus, int valueDim) {
    this.groups = groups;
    this.softplus = softplus;
    this.valueDim = valueDim;
  }

  @Override
  public Decay decay() {
    return Decay.TOKEN;
  }

  @Override
  public boolean weighsWrites() {
    return true;
  }

  @Override
  public int queryKeyHeads(AttentionShape shape) {
    return groups;
  }

  @Override
  public void bind(BoundTensors inputs) {
    timeStep = inputs.get("time_step");
    rate = inputs.get("decay_rate");
    skip = inputs.get("skip");
    x = inputs.get("v");
    bias = inputs.has("time_step_bias") ? inputs.get("time_step_bias") : ABSENT;
    gate = inputs.has("output_gate") ? inputs.get("output_gate") : ABSENT;
  }

  /// a_t = dt_t A.
  @Override
  public double logDecay(int head, int row) {
    return timeStep(head, row) * rate[head];
  }

  /// dt_t.
  @Override
  public float writeStrength(int head, int row) {
    return (float) timeStep(head, row);
  }

  private double timeStep(int head, int row) {
    double raw = timeStep[row];
    if (!softplus) {
      return raw;
    }
    double step = bias.length == 0 ? raw : raw + bias[head];
    return step > LINEAR ? step : Math.log1p(Math.exp(step));
  }

  /// (S_tᵀ q_t + D x_t) · silu(z_t), at padded positions too: there only the time step is 0.
  @Override
  public void finish(int head, int row, int from, int count, float[] out, int at, float[] work) {
    int first = row * valueDim + from;
    for (int c = 0; c < count; c++) {
      out[at + c] = Math.fma(skip[head], x[first + c], out[at + c]);
    }
    if (gate.length > 0) {
      Kernels.get().exp(count, -1, 0, gate, first, work, 0);
      for (int c = 0; c < count; c++) {
        out[at + c] *= gate[first + c] / (1 + work[c]);
      }
    }
  }

  @Override
  public boolean finishes() {
    return true;
  }

  @Override
  public boolean readsUnfinished() {
    return true;
  }

  @Override
  public void allocateGradients(AttentionShape shape, int parts, Scratch scratch) {
    heads = shape.numHeads();
    problems = shape.problems();
    tokens = shape.querySeqLen();
    long rows = (long) shape.problems() * shape.querySeqLen();
    logDecayGradients = scratch.floats(rows);
    strengthGradients = scratch.floats(rows);
    skipParts = scratch.doubles(parts);
  }

  @Override
  public void bindGradients(BoundTensors gradients) {
    gradTimeStep = States.place(gradients, "time_step");
    gradBias = States.place(gradients, "time_step_bias");
    gradRate = States.place(gradients, "decay_rate");
    gradSkip = States.place(gradients, "skip");
    gradGate = States.place(gradients, "output_gate");
    gradX = States.place(gradients, "v");
    Arrays.fill(logDecayGradients, 0);
    Arrays.fill(strengthGradients, 0);
  }

  @Override
  public float[] gradLogDecays() {
    return logDecayGradients;
  }

  @Override
  public float[] gradStrengths() {
    return strengthGradients;
  }

  /// Through the gate and the skip.
  @Override
  public void finishBack(
      int part,
      int head,
      int row,
      int count,
      float[] unfinished,
      float[] out,
      float[] gradOut,
      float[] grad) {
    Kernels kernels = Kernels.get();
    int at = row * valueDim;
    int size = count * valueDim;
    if (gate.length == 0) {
      System.arraycopy(gradOut, at, grad, at, size);
    } else {
      kernels.exp(size, -1, 0, gate, at, grad, at);
      for (int e = at; e < at + size && gradGate.length > 0; e++) {
        float s = 1 / (1 + grad[e]);
        float y = Math.fma(skip[head], x[e], unfinished[e]);
        gradGate[e] += gradOut[e] * y * Math.fma(gate[e] * s, 1 - s, s);
      }
      for (int e = at; e < at + size; e++) {
        grad[e] = gradOut[e] * gate[e] / (1 + grad[e]);
      }
    }
    double sum = 0;
    for (int o = at; o < at + size; o += valueDim) {
      sum += kernels.dot(valueDim, x, o, grad, o);
    }
    skipParts[part] = sum;
    if (gradX.length > 0) {
      kernels.axpy(size, skip[head], grad, at, gradX, at);
    }
  }

  /// From the gradients of a_t and dt_t to those of time steps, their bias, and A; sums over tokens
  /// in their order.
  @Override
  public void addGradients() {
    for (int head = 0; head < heads; head++) {
      double rateSum = 0;
      double biasSum = 0;
      double skipSum = 0;
      for (int problem = head; problem < problems; problem += heads) {
        for (int row = problem * tokens; row < (problem + 1) * tokens; row++) {
          double decay = logDecayGradients[row];
          double strength = strengthGradients[row];
          if (decay != 0 || strength != 0) {
            rateSum += timeStep(head, row) * decay;
            double step = (decay * rate[head] + strength) * slope(head, row);
            biasSum += softplus ? step : 0;
            if (gradTimeStep.length > 0) {
              gradTimeStep[row] += (float) step;
            }
          }
        }
        int chunks = skipParts.length / problems;
        for (int part = problem * chunks; part < (problem + 1) * chunks; part++) {
          skipSum += skipParts[part];
        }
      }
      add(gradRate, head, rateSum);
      add(gradBias, head, biasSum);
      add(gradSkip, head, skipSum);
    }
  }

  private static void add(float[] place, int head, double gradient) {
    if (place.length > 0) {
      place[head] += (float) gradient;
    }
  }

  /// Derivative of the time step with respect to what is given.
  private double slope(int head, int row) {
    if (!softplus) {
      return 1;
    }
    double raw = bias.length == 0 ? timeStep[row] : timeStep[row] + bias[head];
    return 1 / (1 + Math.exp(-raw));
  }
}
