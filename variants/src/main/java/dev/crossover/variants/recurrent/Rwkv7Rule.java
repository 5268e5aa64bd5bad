// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule;
import java.util.Arrays;

/// RWKV-7 as two rows of a delta rule per token, with b = κ ∘ a:
///
/// ```
/// 2t       S ← diag(exp g) S − b (Sᵀκ)ᵀ        κ reads S before it decays
/// 2t + 1   S ← S + k vᵀ
/// ```
///
/// Norm and bonus complete whole output rows.
final class Rwkv7Rule implements UpdateRule {
  private final Kernels kernels = Kernels.get();
  private final float scale;
  private final double eps;
  private final int heads;
  private final int problems;
  private final int dim;
  private final int valueDim;
  private float[] q = UNWANTED;
  private float[] k = UNWANTED;
  private float[] v = UNWANTED;
  private float[] logDecay = UNWANTED;
  private float[] removalKey = UNWANTED;
  private float[] removalRate = UNWANTED;
  private float[] normWeight = UNWANTED;
  private float[] normBias = UNWANTED;
  private float[] bonus = UNWANTED;
  private float[] gradQ = UNWANTED;
  private float[] gradK = UNWANTED;
  private float[] gradV = UNWANTED;
  private float[] gradLogDecay = UNWANTED;
  private float[] gradRemovalKey = UNWANTED;
  private float[] gradRemovalRate = UNWANTED;
  private float[] gradNormWeight = UNWANTED;
  private float[] gradNormBias = UNWANTED;
  private float[] gradBonus = UNWANTED;
  private float[] weightParts = UNWANTED;
  private float[] biasParts = UNWANTED;
  private float[] bonusParts = UNWANTED;

  Rwkv7Rule(double scale, double eps, AttentionShape shape) {
    this.scale = (float) scale;
    this.eps = eps;
    heads = shape.numHeads();
    problems = shape.problems();
    dim = shape.headDim();
    valueDim = shape.valueDim();
  }

  @Override
  public Decay decay() {
    return Decay.CHANNEL;
  }

  @Override
  public int steps() {
    return 2;
  }

  @Override
  public boolean erases() {
    return true;
  }

  @Override
  public boolean erasesBeforeDecay() {
    return true;
  }

  @Override
  public boolean weighsWrites() {
    return false;
  }

  @Override
  public boolean formsRows() {
    return true;
  }

  @Override
  public void bind(BoundTensors inputs) {
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    logDecay = inputs.get("log_decay");
    removalKey = inputs.get("removal_key");
    removalRate = inputs.get("removal_rate");
    normWeight = States.place(inputs, "norm_weight");
    normBias = States.place(inputs, "norm_bias");
    bonus = States.place(inputs, "bonus");
    if (normWeight.length != normBias.length) {
      throw new IllegalArgumentException(
          "rwkv7: norm_weight and norm_bias must be given together, but "
              + (normBias.length == 0 ? "norm_bias" : "norm_weight")
              + " is absent");
    }
  }

  @Override
  public float[] logDecays() {
    return logDecay;
  }

  @Override
  public void formQuery(int head, int row, float[] queries, int qo, float[] left, int at) {
    kernels.scale(dim, scale, queries, qo, left, at);
  }

  /// −κ ∘ a, then k.
  @Override
  public void formKey(int head, int row, float[] tensor, int ko, float[] keys, int at) {
    int from = row / 2 * dim;
    if (row % 2 == 1) {
      System.arraycopy(k, from, keys, at, dim);
    } else {
      kernels.multiplyElements(dim, removalKey, from, removalRate, from, keys, at);
      kernels.scale(dim, -1, keys, at, keys, at);
    }
  }

  /// κ, then nothing.
  @Override
  public void formErasing(int head, int row, float[] keys, int ko, float[] left, int at) {
    if (row % 2 == 1) {
      Arrays.fill(left, at, at + dim, 0);
    } else {
      System.arraycopy(removalKey, row / 2 * dim, left, at, dim);
    }
  }

  /// Nothing but what was read, then v.
  @Override
  public void formValue(int head, int row, int from, int count, float[] values, int at) {
    if (row % 2 == 1) {
      System.arraycopy(v, row / 2 * valueDim + from, values, at, count);
    } else {
      Arrays.fill(values, at, at + count, 0);
    }
  }

  @Override
  public boolean completesRows() {
    return normWeight.length > 0 || bonus.length > 0;
  }

  @Override
  public void complete(int head, int row, int count, float[] out, int at) {
    for (int i = 0; i < count; i++) {
      int o = at + i * valueDim;
      if (normWeight.length > 0) {
        double mean = mean(out, o);
        double factor = factor(out, o, mean);
        for (int c = 0; c < valueDim; c++) {
          int w = head * valueDim + c;
          out[o + c] = (float) ((out[o + c] - mean) * factor * normWeight[w] + normBias[w]);
        }
      }
      if (bonus.length > 0) {
        kernels.axpy(valueDim, own(head, row + i), v, (row + i) * valueDim, out, o);
      }
    }
  }

  private double mean(float[] y, int o) {
    double sum = 0;
    for (int c = 0; c < valueDim; c++) {
      sum += y[o + c];
    }
    return sum / valueDim;
  }

  /// 1 / √(var + eps).
  private double factor(float[] y, int o, double mean) {
    double square = 0;
    for (int c = 0; c < valueDim; c++) {
      square += (y[o + c] - mean) * (y[o + c] - mean);
    }
    return 1 / Math.sqrt(square / valueDim + eps);
  }

  /// Σ_c q_c k_c ρ_c.
  private float own(int head, int row) {
    float sum = 0;
    for (int a = 0; a < dim; a++) {
      sum += q[row * dim + a] * k[row * dim + a] * bonus[head * dim + a];
    }
    return sum;
  }

  @Override
  public void allocateGradients(AttentionShape shape, int parts, Scratch scratch) {
    weightParts = scratch.floats((long) parts * valueDim);
    biasParts = scratch.floats((long) parts * valueDim);
    bonusParts = scratch.floats((long) parts * dim);
  }

  @Override
  public void bindGradients(BoundTensors gradients) {
    gradQ = States.place(gradients, "q");
    gradK = States.place(gradients, "k");
    gradV = States.place(gradients, "v");
    gradLogDecay = States.place(gradients, "log_decay");
    gradRemovalKey = States.place(gradients, "removal_key");
    gradRemovalRate = States.place(gradients, "removal_rate");
    gradNormWeight = States.place(gradients, "norm_weight");
    gradNormBias = States.place(gradients, "norm_bias");
    gradBonus = States.place(gradients, "bonus");
    Arrays.fill(weightParts, 0);
    Arrays.fill(biasParts, 0);
    Arrays.fill(bonusParts, 0);
  }

  @Override
  public float[] gradLogDecays() {
    return gradLogDecay;
  }

  @Override
  public void formQueryBack(
      int part, int head, int row, float[] gradLeft, int at, float[] place, int go) {
    if (place.length > 0) {
      kernels.axpy(dim, scale, gradLeft, at, place, go);
    }
  }

  @Override
  public void formKeyBack(
      int part, int head, int row, float[] gradKeys, int at, float[] place, int go) {
    int to = row / 2 * dim;
    if (row % 2 == 1) {
      if (gradK.length > 0) {
        kernels.add(dim, gradK, to, gradKeys, at, gradK, to);
      }
      return;
    }
    for (int a = 0; a < dim && gradRemovalKey.length > 0; a++) {
      gradRemovalKey[to + a] -= removalRate[to + a] * gradKeys[at + a];
    }
    for (int a = 0; a < dim && gradRemovalRate.length > 0; a++) {
      gradRemovalRate[to + a] -= removalKey[to + a] * gradKeys[at + a];
    }
  }

  @Override
  public void formErasingBack(
      int head, int row, float[] keys, int ko, float[] gradLeft, int at, float[] gradKeys, int go) {
    if (row % 2 == 0 && gradRemovalKey.length > 0) {
      int to = row / 2 * dim;
      kernels.add(dim, gradRemovalKey, to, gradLeft, at, gradRemovalKey, to);
    }
  }

  @Override
  public void formValueBack(int head, int row, float[] gradValue, int at) {
    if (row % 2 == 1 && gradV.length > 0) {
      int to = row / 2 * valueDim;
      kernels.add(valueDim, gradV, to, gradValue, at, gradV, to);
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

  /// Through the bonus and the norm.
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
    for (int i = row; i < row + count; i++) {
      int o = i * valueDim;
      if (bonus.length > 0) {
        bonusBack(part, head, i, gradOut);
      }
      if (normWeight.length > 0) {
        normBack(part, head, o, unfinished, gradOut, grad);
      } else {
        System.arraycopy(gradOut, o, grad, o, valueDim);
      }
    }
  }

  private void bonusBack(int part, int head, int row, float[] gradOut) {
    int at = row * dim;
    int o = row * valueDim;
    float e = kernels.dot(valueDim, gradOut, o, v, o);
    for (int a = 0; a < dim; a++) {
      float weight = bonus[head * dim + a];
      bonusParts[part * dim + a] += e * q[at + a] * k[at + a];
      if (gradQ.length > 0) {
        gradQ[at + a] += e * k[at + a] * weight;
      }
      if (gradK.length > 0) {
        gradK[at + a] += e * q[at + a] * weight;
      }
    }
    if (gradV.length > 0) {
      kernels.axpy(valueDim, own(head, row), gradOut, o, gradV, o);
    }
  }

  private void normBack(
      int part, int head, int o, float[] unfinished, float[] gradOut, float[] grad) {
    double mean = mean(unfinished, o);
    double factor = factor(unfinished, o, mean);
    double sum = 0;
    double projection = 0;
    for (int c = 0; c < valueDim; c++) {
      double normal = (unfinished[o + c] - mean) * factor;
      double weighted = gradOut[o + c] * (double) normWeight[head * valueDim + c];
      sum += weighted;
      projection += weighted * normal;
      weightParts[part * valueDim + c] += (float) (gradOut[o + c] * normal);
      biasParts[part * valueDim + c] += gradOut[o + c];
    }
    for (int c = 0; c < valueDim; c++) {
      double normal = (unfinished[o + c] - mean) * factor;
      double weighted = gradOut[o + c] * (double) normWeight[head * valueDim + c];
      grad[o + c] = (float) (factor * (weighted - (sum + normal * projection) / valueDim));
    }
  }

  @Override
  public void addGradients() {
    States.addParts(weightParts, valueDim, heads, problems, gradNormWeight);
    States.addParts(biasParts, valueDim, heads, problems, gradNormBias);
    States.addParts(bonusParts, dim, heads, problems, gradBonus);
  }
}
