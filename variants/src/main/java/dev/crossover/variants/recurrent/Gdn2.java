// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.recurrent.UpdateRule;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Gated DeltaNet-2: what is erased and what is written have gates of their own, per channel.
///
/// Hatamizadeh, Choi, Kautz: "Gated DeltaNet-2: Decoupling Erase and Write in Linear Attention",
/// 2026, arXiv:2605.22791; code in flash-linear-attention, ops/gdn2.
///
/// ```
/// P_t   = diag(exp g_t) S_{t−1}
/// u_t   = w_t ∘ v_t − P_tᵀ (b_t ∘ k_t)
/// S_t   = P_t + k_t u_tᵀ,   out_t = scale S_tᵀ q_t
/// ```
///
/// | paper | here        | shape                                         |
/// |-------|-------------|-----------------------------------------------|
/// | Q, K  | `q`, `k`    | `[batch, heads, n, d]`                        |
/// | V     | `v`         | `[batch, heads, n, dv]`                       |
/// | log α | `log_decay` | `[batch, heads, n, d]`, drawn as in [#inputs] |
/// | b     | `erase_gate` | `[batch, heads, n, d]`, drawn as σ(N(0,1))   |
/// | w     | `write_gate` | `[batch, heads, n, dv]`, drawn as σ(N(0,1))  |
/// | S     | `initial_state`, `final_state` | `[batch, heads, d, dv]`    |
///
/// Chunks as in KDA with `A_ij = ⟨(b ∘ k)_i, k_j⟩_D` below the diagonal and
/// `U = (I + A)⁻¹ (w ∘ V − (eᶜ b ∘ K) S)`.
///
/// Backward, with G the gradient of `out` and dS that of the state, from the last token to the
/// first (the reverse recurrence; dS starts as the gradient of `final_state` and ends as that of
/// `initial_state`):
///
/// ```
/// dq_t = scale S_t G_t,   dS += scale q_t G_tᵀ
/// du   = dSᵀ k_t,   de = −P_t du
/// dk_t = dS u_t + b_t ∘ de,   db_t = k_t ∘ de,   dv_t = w_t ∘ du,   dw_t = v_t ∘ du
/// dP   = dS − (b_t ∘ k_t) duᵀ,   dg_t = rows of ⟨dP, P_t⟩,   dS ← diag(exp g_t) dP
/// ```
///
/// In chunks the transposed triangular system is solved, and dg is a sum over the chunk as in GLA.
/// States before chunks and U are kept.
///
/// Keys are taken as they are; the eigenvalue of `I − k (b ∘ k)ᵀ` other than 1 is `1 − Σ b k²`.
/// Where plain tensors are adapted ([#adapt]), each row of q and k is divided by its length, as the
/// authors' layer does.
///
/// Time `6·n·d·dv + 2·n·C·(d + dv)` and 2·n·d exponentials per head; memory d·dv per head at work.
/// Causal by construction; any key padding: the state passes padded positions unchanged. No setting
/// makes it softmax; both gates equal to one number β are KDA.
///
/// @param scale factor on q; absent: 1/√d
/// @param chunkLength rows of a chunk; without effect on the result; absent: 64
@Mechanism(
    name = "gdn2",
    title = "Gated DeltaNet-2",
    paper = "Hatamizadeh, Choi, Kautz, Gated DeltaNet-2, 2026",
    arxiv = "2605.22791",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "6 n d²",
    memory = "d²",
    exponent = 1)
public record Gdn2(
    @Parameter(value = "factor on q; absent: 1/sqrt(d)", defaultValue = "") OptionalDouble scale,
    @Parameter(value = "rows of a chunk, >= 1, no effect on the result", defaultValue = "")
        OptionalInt chunkLength)
    implements MatrixRecurrence {

  /// Validates the chunk length.
  public Gdn2 {
    States.requireChunk(chunkLength);
  }

  /// With the factor 1/√d and the fastest chunk length.
  public Gdn2() {
    this(OptionalDouble.empty(), OptionalInt.empty());
  }

  /// `log_decay` is drawn as −A·dt with A uniform in (0, 16) and dt log-uniform in [1e-3, 0.1] per
  /// element.
  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return States.inputs(
        s,
        States.logDecayPerChannel(s),
        gate("erase_gate", "gate of what is erased at a key", s, HEAD_DIM),
        gate("write_gate", "gate of the written value", s, VALUE_DIM));
  }

  private static TensorSpec gate(String name, String meaning, AttentionShape s, Axis width) {
    return TensorSpec.input(
        name, meaning + ", sigmoid(N(0,1))", States::sigmoid, s, BATCH, HEADS, KEY, width);
  }

  /// With rows of q and k divided by their lengths, and gates and decays drawn.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    return States.adaptNormalised(this, shape, qkv, seed);
  }

  @Override
  public int chunk(AttentionShape s) {
    return chunkLength.orElse(RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new Rule(scale.orElse(Attention.defaultScale(s)), s.headDim(), s.valueDim());
  }

  /// S_t = P_t + k_t (w_t ∘ v_t − P_tᵀ (b_t ∘ k_t))ᵀ with P_t = diag(exp g_t) S_{t−1}.
  private static final class Rule implements UpdateRule {
    private final Kernels kernels = Kernels.get();
    private final double scale;
    private final int dim;
    private final int valueDim;
    private float[] logDecay = new float[0];
    private float[] eraseGate = new float[0];
    private float[] writeGate = new float[0];
    private float[] v = new float[0];
    private float[] gradLogDecay = UNWANTED;
    private float[] gradEraseGate = UNWANTED;
    private float[] gradWriteGate = UNWANTED;
    private float[] gradV = UNWANTED;

    Rule(double scale, int dim, int valueDim) {
      this.scale = scale;
      this.dim = dim;
      this.valueDim = valueDim;
    }

    @Override
    public Decay decay() {
      return Decay.CHANNEL;
    }

    @Override
    public boolean erases() {
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
      logDecay = inputs.get("log_decay");
      eraseGate = inputs.get("erase_gate");
      writeGate = inputs.get("write_gate");
      v = inputs.get("v");
    }

    @Override
    public float[] logDecays() {
      return logDecay;
    }

    @Override
    public void formQuery(int head, int row, float[] q, int qo, float[] left, int at) {
      kernels.scale(dim, (float) scale, q, qo, left, at);
    }

    @Override
    public void formKey(int head, int row, float[] k, int ko, float[] keys, int at) {
      System.arraycopy(k, ko, keys, at, dim);
    }

    /// −b ∘ k.
    @Override
    public void formErasing(int head, int row, float[] keys, int ko, float[] left, int at) {
      kernels.multiplyElements(dim, keys, ko, eraseGate, row * dim, left, at);
      kernels.scale(dim, -1, left, at, left, at);
    }

    /// w ∘ v.
    @Override
    public void formValue(int head, int row, int from, int count, float[] values, int at) {
      int o = row * valueDim + from;
      kernels.multiplyElements(count, v, o, writeGate, o, values, at);
    }

    @Override
    public void bindGradients(BoundTensors gradients) {
      gradLogDecay = States.place(gradients, "log_decay");
      gradEraseGate = States.place(gradients, "erase_gate");
      gradWriteGate = States.place(gradients, "write_gate");
      gradV = States.place(gradients, "v");
    }

    @Override
    public float[] gradLogDecays() {
      return gradLogDecay;
    }

    @Override
    public void formQueryBack(
        int part, int head, int row, float[] gradLeft, int at, float[] place, int go) {
      if (place.length > 0) {
        kernels.axpy(dim, (float) scale, gradLeft, at, place, go);
      }
    }

    @Override
    public void formKeyBack(
        int part, int head, int row, float[] gradKeys, int at, float[] place, int go) {
      if (place.length > 0) {
        kernels.add(dim, place, go, gradKeys, at, place, go);
      }
    }

    @Override
    public void formErasingBack(
        int head,
        int row,
        float[] keys,
        int ko,
        float[] gradLeft,
        int at,
        float[] gradKeys,
        int go) {
      int gate = row * dim;
      for (int a = 0; a < dim; a++) {
        gradKeys[go + a] -= eraseGate[gate + a] * gradLeft[at + a];
      }
      for (int a = 0; a < dim && gradEraseGate.length > 0; a++) {
        gradEraseGate[gate + a] -= keys[ko + a] * gradLeft[at + a];
      }
    }

    @Override
    public void formValueBack(int head, int row, float[] gradValue, int at) {
      int o = row * valueDim;
      for (int c = 0; c < valueDim && gradV.length > 0; c++) {
        gradV[o + c] += writeGate[o + c] * gradValue[at + c];
      }
      for (int c = 0; c < valueDim && gradWriteGate.length > 0; c++) {
        gradWriteGate[o + c] += v[o + c] * gradValue[at + c];
      }
    }
  }
}
