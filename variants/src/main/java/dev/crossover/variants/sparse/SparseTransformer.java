// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.select.IntervalTile;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.SlotStore;
import java.util.List;

/// Factorised softmax attention: every query sees a local set and a far-reaching set of about √n
/// keys each.
///
/// Child, Gray, Radford, Sutskever, "Generating Long Sequences with Sparse Transformers", 2019,
/// arXiv:1904.10509, sections 4.2 and 4.3.
///
/// ```
/// S_local(i)   = { j : i − l < j <= i }              S_block(i)   = { j <= i : j div l = i div l }
/// S_strided(i) = { j <= i : (i − j) mod l = 0 }      S_summary(i) = { j <= i : l − c <= j mod l < l }
/// out_i = Σ_{j∈S(i)} softmax_j(q_i·k_j/√d) v_j
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | Q, K, V | `q`, `k`, `v` | `[B,H,n,d]`, `[B,Hkv,n,d]`, `[B,Hkv,n,dv]` |
/// | l, c | `stride`, `summary_size` | |
/// | A⁽¹⁾, A⁽²⁾ | `local`, `strided` or `fixed_block`, `fixed_summary`: one part per head or layer | |
/// | merged head | `strided_union`, `fixed_union`: both parts in one softmax, each key once | |
///
/// A column of the strided pattern is a residue class modulo l and thus plain causal attention on
/// packed keys; the summary cells are gathered once per head; a union of column and local set is
/// one softmax that is put aside between the two.
///
/// Gradients, with G = ∂out, L a row's log-sum-exp and D its G·out:
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (G_i·v_j − D_i)      s_ij = q_i·k_j/√d
/// ∂q_i = Σ_j ds_ij k_j/√d     ∂k_j = Σ_i ds_ij q_i/√d           ∂v_j = Σ_i p_ij G_i
/// ```
///
/// over j in S(i): softmax's backward pass (Dao et al., arXiv:2205.14135, appendix B.2). L and D of
/// a union are those of its one softmax, so that its parts are walked one after the other. Kept: L;
/// weights are computed again.
///
/// Time about `4·n·(l + n/l)·d` for the strided and `4·n·(l/2 + c·n/(2l))·d` for the fixed union
/// when causal: `n^1.5` with l near √n. Scratch one or two packed copies of the keys. Causal in the
/// paper; without causal order `|i − j| < l`, the whole column, the whole window and all summary
/// cells are seen, an extension. Honours any key padding, which removes keys; a row left with none
/// is zero, as are the first rows of `fixed_summary` alone. Exact when `pattern` is `all`, when
/// `stride >= n` for `local` and `fixed_block`, when `stride` is 1 for `strided`, and when
/// `summary_size = stride` for `fixed_union`. Decodes: `local` with a ring of keys, the fixed
/// patterns with one window and the summary cells, all others with a full cache.
///
/// @param pattern one for all heads or one per head
/// @param stride l: local width, distance in a column, window length; at least 1
/// @param summarySize c: summary cells per window, at least 1
/// @param summarySlots V: head h summarises the sub-block h mod V, counted from the end of the
///     window
/// @param localIncludesStride whether the local set also holds i − l, so l + 1 keys
@Mechanism(
    name = "sparse_transformer",
    title = "Sparse Transformer",
    paper =
        "Child, Gray, Radford, Sutskever, Generating Long Sequences with Sparse Transformers, 2019",
    arxiv = "1904.10509",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness =
        "pattern all; stride >= n for local and fixed_block; summary_size = stride for unions",
    time = "4 n (l + n / l) d",
    memory = "2 n d",
    exponent = 2,
    bound =
        "rows that lie a stride apart: testing and transposing them takes 18 % of the time, putting"
            + " their sums aside and taking them up 7 %; the two products are 57 %, a fifth of it"
            + " on hidden pairs in blocks of 12 rows and 32 keys",
    differences = {
      @Mechanism.Difference(
          what = "Keys of the local set",
          paper = "starts at max(0, i - l): l + 1 keys",
          code = "starts at i - l + 1: exactly l keys",
          paperOption = "local_includes_stride=true",
          codeOption = "local_includes_stride=false",
          defaultIs = "the code's, which made the published numbers",
          test = "SparseTransformerTest.localSetOfThePaperHoldsOneKeyMoreThanTheCodes"),
      @Mechanism.Difference(
          what = "Fixed attention",
          paper = "block and summary may be different heads",
          code = "always the union of both in one head",
          paperOption = "pattern=fixed_block",
          codeOption = "pattern=fixed_union",
          defaultIs = "strided_union, the paper's pattern for data with a period",
          test = "SparseTransformerTest.unionCountsEachKeyOnce")
    })
public record SparseTransformer(
    @Parameter(value = "one for all heads or one per head", defaultValue = "strided_union")
        List<Pattern> pattern,
    @Knob(
            values = {16, 32, 64, 128, 256, 512},
            costs = "local keys up, column keys down",
            accuracy = Knob.Accuracy.DEPENDS)
        @Parameter(
            value = "local width, column distance and window length l, >= 1",
            defaultValue = "128")
        int stride,
    @Parameter(value = "summary cells per window c, >= 1", defaultValue = "1") int summarySize,
    @Parameter(
            value = "head h takes the sub-block h mod summary_slots, from the end of the window",
            defaultValue = "1")
        int summarySlots,
    @Parameter(value = "whether the local set also holds i - stride", defaultValue = "false")
        boolean localIncludesStride)
    implements CachingAttention {

  /// Which keys a head sees.
  public enum Pattern {
    /// The last `stride` keys.
    LOCAL,
    /// Every `stride`-th key back from the query.
    STRIDED,
    /// Both in one softmax.
    STRIDED_UNION,
    /// The query's own window.
    FIXED_BLOCK,
    /// The summary cells of all windows.
    FIXED_SUMMARY,
    /// Both in one softmax.
    FIXED_UNION,
    /// Every key.
    ALL;

    /// Whether a residue class of keys is part of it.
    boolean hasColumn() {
      return this == STRIDED || this == STRIDED_UNION;
    }

    /// Whether the summary cells are part of it.
    boolean hasSummary() {
      return this == FIXED_SUMMARY || this == FIXED_UNION;
    }

    /// Whether an interval of neighbouring keys is part of it.
    boolean hasInterval() {
      return this != STRIDED && this != FIXED_SUMMARY;
    }
  }

  /// Validates the sizes.
  public SparseTransformer {
    pattern = List.copyOf(pattern);
    require(!pattern.isEmpty(), "pattern must name one or more patterns", pattern);
    require(stride >= 1, "stride must be >= 1", stride);
    require(summarySize >= 1, "summary_size must be >= 1", summarySize);
    require(summarySlots >= 1, "summary_slots must be >= 1", summarySlots);
    require(
        pattern.stream().noneMatch(Pattern::hasSummary)
            || (long) summarySize * summarySlots <= stride,
        "summary_size * summary_slots must be <= stride (" + stride + ")",
        (long) summarySize * summarySlots);
  }

  /// One pattern for all heads, with the defaults otherwise.
  public SparseTransformer(Pattern pattern, int stride) {
    this(List.of(pattern), stride, 1, 1, false);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double pairs = 0;
    for (int h = 0; h < s.numHeads(); h++) {
      pairs += s.batchSize() * pairs(s.keySeqLen(), h, mask.isCausal());
    }
    double flops = pairs * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    long packed = packedBytes(s);
    int rows = SoftmaxTile.preferredRows();
    long perThread = IntervalTile.bytes(rows, s.headDim(), s.valueDim());
    long flags = mask.hasKeyPadding() ? (long) s.batchSize() * s.keySeqLen() : 0;
    for (int h = 0; mask.hasKeyPadding() && h < s.numHeads(); h++) {
      flags += s.batchSize() * (patternOf(h).hasSummary() ? summaryLength(s, h) : 0);
    }
    long marks = any(Pattern.STRIDED_UNION) ? 2L * s.problems() * s.keySeqLen() : 0;
    return new Cost(
        flops,
        Cost.tensorBytes(s) + 2.0 * packed,
        packed + threads * perThread + Integer.BYTES * (flags + marks));
  }

  private long packedBytes(AttentionShape s) {
    long bytes = 0;
    long groups = (long) s.batchSize() * s.numKeyValueHeads();
    if (pattern.stream().anyMatch(Pattern::hasInterval)) {
      bytes += groups * StridedPanels.bytes(s.keySeqLen(), 1, s.headDim());
    }
    if (pattern.stream().anyMatch(Pattern::hasColumn)) {
      bytes += groups * StridedPanels.bytes(s.keySeqLen(), stride, s.headDim());
    }
    for (int h = 0; h < s.numHeads(); h++) {
      if (patternOf(h).hasSummary()) {
        int cells = summaryLength(s, h);
        bytes +=
            s.batchSize()
                * (KeyPanels.bytes(cells, s.headDim()) + (long) Float.BYTES * cells * s.valueDim());
      }
    }
    return bytes;
  }

  /// Number of pairs of one head.
  private double pairs(int n, int head, boolean causal) {
    Pattern kind = patternOf(head);
    SummaryCells cells = summaryOf(head);
    double pairs = 0;
    for (int i = 0; i < n; i++) {
      int limit = causal ? i + 1 : n;
      int own = windowStart(i);
      int before = Math.min(i, reach());
      int after = Math.min(limit - 1 - i, reach());
      int column = i / stride + 1 + (limit - 1 - i) / stride;
      int block = Math.min(limit, Math.min(n, own + stride)) - own;
      int ownCells = cells.within(own + block) - cells.within(own);
      pairs +=
          switch (kind) {
            case LOCAL -> before + 1 + after;
            case STRIDED -> column;
            case STRIDED_UNION -> column + before + after - before / stride - after / stride;
            case FIXED_BLOCK -> block;
            case FIXED_SUMMARY -> cells.within(limit);
            case FIXED_UNION -> block + cells.within(limit) - ownCells;
            case ALL -> limit;
          };
    }
    return pairs;
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireHeads(request.shape());
    return new SparseTransformerPlan(request, this, null);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireHeads(request.shape());
    return new SparseTransformerGradient(request, this);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double pairs = 0;
    for (int h = 0; h < s.numHeads(); h++) {
      pairs += s.batchSize() * pairs(s.keySeqLen(), h, mask.isCausal());
    }
    long forward = cost(s, mask, threads).scratchBytes();
    return SparseTransformerGradient.cost(this, s, pairs, threads, forward);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    requireHeads(shape);
    return new SparseTransformerSession(this, shape, threads, SlotStore.storageOf(this, cache));
  }

  Pattern patternOf(int head) {
    return pattern.get(pattern.size() == 1 ? 0 : head);
  }

  boolean any(Pattern wanted) {
    return pattern.contains(wanted);
  }

  /// The cells that a head summarises with.
  SummaryCells summaryOf(int head) {
    return new SummaryCells(stride, Math.min(summarySize, stride), head % summarySlots);
  }

  int summaryLength(AttentionShape s, int head) {
    return summaryOf(head).within(s.keySeqLen());
  }

  /// Keys on one side in the local set.
  int reach() {
    return localIncludesStride ? stride : stride - 1;
  }

  /// First key of S_local, S_block or everything, for query i.
  int intervalStart(Pattern part, int i) {
    return switch (part) {
      case LOCAL, STRIDED_UNION -> Math.max(0, i - reach());
      case FIXED_BLOCK, FIXED_UNION -> windowStart(i);
      default -> 0;
    };
  }

  /// One past the last key of S_local, S_block or everything, for query i.
  ///
  /// @param limit number of leading keys that the query sees
  int intervalEnd(Pattern part, int i, int limit) {
    return switch (part) {
      case LOCAL, STRIDED_UNION -> (int) Math.min(limit, i + reach() + 1L);
      case FIXED_BLOCK, FIXED_UNION -> (int) Math.min(limit, (long) windowStart(i) + stride);
      default -> limit;
    };
  }

  int windowStart(int i) {
    return i / stride * stride;
  }

  private void requireHeads(AttentionShape shape) {
    require(
        pattern.size() == 1 || pattern.size() == shape.numHeads(),
        name() + ": pattern must be one or one per head (" + shape.numHeads() + ")",
        pattern);
  }

  private static void require(boolean holds, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }
}
