// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.KEY;

import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.SlotStore;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/// Sliding-window attention with optional dilation and global tokens: every token sees `window`
/// neighbours on each side and all global tokens; a global token sees everything.
///
/// Beltagy, Peters, Cohan, "Longformer: The Long-Document Transformer", 2020, arXiv:2004.05150,
/// section 3.
///
/// ```
/// W(i) = { i + D·t : |t| <= w }                                          causal: −w <= t <= 0
/// A(i) = (W(i) ∪ G) ∩ V                                                  each key once
/// out_i = Σ_{j∈A(i)} softmax_j(q_i·k_j/√d) v_j                           i not global
/// out_i = Σ_{j∈V} softmax_j(q_global_i·k_global_j/√d) v_global_j         i global
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | w | `window`, one radius on each side (the paper counts both sides) | |
/// | d | `dilation`, D, one for all heads or one per head | |
/// | Q_s, K_s, V_s | `q`, `k`, `v` | `[B,H,n,d]`, `[B,Hkv,n,d]`, `[B,Hkv,n,dv]` |
/// | Q_g, K_g, V_g | `q_global`, `k_global`, `v_global`; the local ones where absent | the same |
/// | G | `global_mask`, 1 = global; no global tokens where absent | `[B,n]` |
/// | V | real keys of the mask | |
///
/// A dilated window is a plain window in its residue class modulo D, so that all windows are
/// contiguous runs of packed keys. Global keys are left out of the windows and gathered into tiles
/// of their own.
///
/// Gradients, with G = ∂out, L a row's log-sum-exp and D its G·out:
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (G_i·v_j − D_i)      s_ij = q_i·k_j/√d
/// ∂q_i = Σ_j ds_ij k_j/√d     ∂k_j = Σ_i ds_ij q_i/√d           ∂v_j = Σ_i p_ij G_i
/// ```
///
/// over the pairs (i, A(i)) of tokens that are not global for q, k and v, and over those of global
/// ones with the second projections for `q_global`, `k_global` and `v_global`: softmax's backward
/// pass (Dao et al., arXiv:2205.14135, appendix B.2) per branch. Which tokens are global is a
/// constant. Kept: L; weights are computed again.
///
/// Time `4·n·(2w+1)·d` and `8·g·n·d` more for g global tokens; scratch one packed copy of the keys.
/// Honours causal order and any key padding; padded query rows are zero. Exact when `window >= n −
/// 1` with `dilation` 1 and no global tokens, and, with the global projections, when every token is
/// global. Decodes with a ring of `window · D + 1` keys and values and those of the global tokens;
/// see [LongformerSession] for what a later global token needs.
///
/// @param window neighbours on each side, at least 1; causal: on the left only
/// @param dilation step between neighbours, at least 1: one for all heads or one per head
@Mechanism(
    name = "longformer",
    title = "Longformer",
    paper = "Beltagy, Peters, Cohan, Longformer: The Long-Document Transformer, 2020",
    arxiv = "2004.05150",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "window >= n - 1 with dilation 1",
    time = "4 n (2 w + 1) d",
    memory = "n d",
    exponent = 1,
    bound =
        "the two products of each window, 65 % of the time; exponentials take 16 %, packing keys"
            + " and queries 9 %",
    differences =
        @Mechanism.Difference(
            what = "Width of the window",
            paper = "w counts both sides together: 512 means 256 on each",
            code =
                "attention_window is one radius: 256 means 256 on each side and the query itself",
            paperOption = "window=128",
            codeOption = "window=256",
            defaultIs = "the code's meaning, with the released model's value",
            test = "LongformerTest.windowIsARadiusAndCountsTheQueryItself"))
public record Longformer(
    @Knob(
            values = {16, 32, 64, 128, 256, 512, 1024, 2048},
            costs = "2 w + 1 keys per query")
        @Parameter(
            value = "neighbours w on each side (causal: on the left), >= 1",
            defaultValue = "256")
        int window,
    @Parameter(
            value = "step between neighbours, >= 1: one for all heads or one per head",
            defaultValue = "1")
        List<Integer> dilation)
    implements CachingAttention {

  /// Validates the window and every dilation.
  public Longformer {
    if (window < 1) {
      throw new IllegalArgumentException("window must be >= 1, but was " + window);
    }
    dilation = List.copyOf(dilation);
    if (dilation.isEmpty() || dilation.stream().anyMatch(step -> step < 1)) {
      throw new IllegalArgumentException(
          "dilation must be one or more integers >= 1, but was " + dilation);
    }
  }

  /// A plain window without dilation.
  public Longformer(int window) {
    this(window, List.of(1));
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .zeroesPaddedQueries(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.optional(
                "global_mask",
                "1 = global token; drawn: the first token",
                Longformer::firstToken,
                s,
                BATCH,
                KEY)
            .constant());
    String[] names = {"q_global", "k_global", "v_global"};
    for (int i = 0; i < names.length; i++) {
      specs.add(
          TensorSpec.optional(
              names[i],
              "second projection for global queries, N(0,1)",
              Draws::gaussian,
              s,
              specs.get(i).axes().toArray(Axis[]::new)));
    }
    return List.copyOf(specs);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops = pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    double panels = 2.0 * panelCount(s) * s.keySeqLen() * s.headDim() * Float.BYTES;
    long scratch = LongformerPlan.scratchBytes(this, s, threads);
    return new Cost(flops, Cost.tensorBytes(s) + panels, scratch);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return LongformerGradient.cost(this, s, pairs(s, mask), threads);
  }

  /// Pairs of all heads without global tokens, which a plan learns of only when it runs.
  private double pairs(AttentionShape s, Mask mask) {
    int n = s.keySeqLen();
    double pairs = 0;
    for (int h = 0; h < s.numHeads(); h++) {
      int step = dilationOf(h);
      for (int i = 0; i < n; i++) {
        long before = Math.min(window, i / step);
        long after = Math.min(window, (n - 1 - i) / step);
        pairs += before + 1 + (mask.isCausal() ? 0 : after);
      }
    }
    return s.batchSize() * pairs;
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireDilations(request.shape());
    return new LongformerPlan(request, this, null);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireDilations(request.shape());
    return new LongformerGradient(request, this);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    requireDilations(shape);
    return new LongformerSession(this, shape, threads, SlotStore.storageOf(this, cache));
  }

  int dilationOf(int head) {
    return dilation.size() == 1 ? dilation.getFirst() : dilation.get(head);
  }

  /// Heads of one dilation share packed keys like they share keys; with several, each head has its
  /// own.
  int panelCount(AttentionShape s) {
    return s.batchSize() * (dilation.size() == 1 ? s.numKeyValueHeads() : s.numHeads());
  }

  int dilationOf(int panel, AttentionShape s) {
    return dilationOf(dilation.size() == 1 ? 0 : panel % s.numHeads());
  }

  private void requireDilations(AttentionShape shape) {
    if (dilation.size() != 1 && dilation.size() != shape.numHeads()) {
      throw new IllegalArgumentException(
          name()
              + ": dilation must be one integer or one per head ("
              + shape.numHeads()
              + "), but was "
              + dilation);
    }
  }

  private static Tensor firstToken(long seed, int... shape) {
    Tensor mask = Tensor.zeros(shape);
    for (int b = 0; b < shape[0] && shape[1] > 0; b++) {
      mask.data()[b * shape[1]] = 1;
    }
    return mask;
  }

  /// How far back the widest window reaches.
  long reach() {
    return (long) window * dilation.stream().mapToInt(Integer::intValue).max().orElseThrow();
  }
}
