// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.ONE;
import static dev.crossover.attention.Axis.QUERY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Softmax attention by plain loops with one fault built in, to show that the contract's checks can
/// fail.
///
/// Without a fault it keeps every claim.
record FaultyAttention(Fault fault) implements Attention {
  private static final int BLOCK = 16;
  private static volatile float sharedCell;

  /// What is wrong, and the claim it breaks.
  enum Fault {
    NOTHING(null),
    HIDES_AN_AXIS_OF_POSITIONS(Claim.AXES_NAMED),
    ACCEPTS_UNKNOWN_INPUTS(Claim.BAD_TENSORS_REFUSED),
    ACCEPTS_CAUSAL_MASKS_IT_IGNORES(Claim.BEYOND_CAPABILITIES_REFUSED),
    HAS_ANOTHER_OUTPUT_SHAPE_THAN_DECLARED(Claim.ALIASING_REFUSED),
    LEAVES_THE_ROW_AFTER_A_BLOCK_UNWRITTEN(Claim.EVERY_LENGTH_WORKS),
    FORGETS_THE_KEY_AFTER_A_BLOCK(Claim.AGREES_WITH_REFERENCE),
    LEAVES_THE_TAIL_OF_WIDTHS_UNWRITTEN(Claim.ODD_WIDTHS_WORK),
    DROPS_THE_TAIL_OF_WIDTHS(Claim.ODD_WIDTHS_WORK),
    MIXES_VALUE_COLUMNS(Claim.VALUE_COLUMNS_INDEPENDENT),
    IGNORES_VALUES(Claim.VALUE_COLUMNS_INDEPENDENT),
    MIXES_BATCH_ENTRIES(Claim.BATCH_INDEPENDENT),
    DEPENDS_ON_THE_BATCH_SIZE(Claim.BATCH_INDEPENDENT),
    MIXES_HEADS(Claim.HEADS_INDEPENDENT),
    DEPENDS_ON_THE_THREADS(Claim.THREADS_SAME_BITS),
    COUNTS_ITS_CALLS(Claim.REPEATABLE),
    KEEPS_NAN_IN_ITS_SCRATCH(Claim.REPEATABLE),
    SHARES_SCRATCH_BETWEEN_PLANS(Claim.PLANS_CONCURRENT),
    SCALES_QUERIES_IN_PLACE(Claim.INPUTS_UNTOUCHED),
    SUBTRACTS_NO_MAXIMUM(Claim.HUGE_SCORES_FINITE),
    FORGETS_THE_THREADS_IN_ITS_COST(Claim.SCRATCH_DECLARED),
    ALLOCATES_A_ROW_PER_HEAD(Claim.NO_ALLOCATION),
    INTERLEAVES_GROUPED_HEADS(Claim.GROUPED_EQUALS_REPEATED),
    AVERAGES_EMPTY_ROWS(Claim.EMPTY_ROWS_ZERO),
    SAYS_IT_ZEROES_PADDED_ROWS(Claim.PADDED_QUERY_ROWS),
    SEES_ONE_KEY_TOO_FAR(Claim.LATER_TOKENS_IGNORED),
    MULTIPLIES_LATER_VALUES_BY_ZERO(Claim.NAN_BEHIND_CAUSAL_ORDER),
    MULTIPLIES_PADDED_VALUES_BY_ZERO(Claim.NAN_BEHIND_PADDING),
    COUNTS_PADDED_KEYS(Claim.PADDING_EQUALS_SHORTER),
    SCALES_BY_THE_LENGTH(Claim.PREFIX_EQUALS_SHORTER),
    FORGETS_THE_FIRST_TOKEN(Claim.DECODING_EQUALS_WHOLE),
    FORGETS_TO_RESET(Claim.SESSION_KEEPS_COUNT),
    GROWS_BEYOND_ITS_CAPACITY(Claim.SESSION_KEEPS_COUNT),
    KEEPS_NAN_AFTER_A_RESET(Claim.SESSION_KEEPS_COUNT),
    DECODES_OTHERWISE_WITH_TWO_THREADS(Claim.SESSION_KEEPS_COUNT),
    IGNORES_CAUSAL_OFFSETS(Claim.CAUSAL_OFFSETS_HONOURED),
    SEES_NO_FURTHER_THAN_ITSELF(Claim.CAUSAL_OFFSETS_HONOURED);

    private final @org.jspecify.annotations.Nullable Claim breaks;

    Fault(@org.jspecify.annotations.Nullable Claim breaks) {
      this.breaks = breaks;
    }

    boolean breaks(Claim claim) {
      return breaks == claim;
    }
  }

  private boolean has(Fault other) {
    return fault == other;
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(has(Fault.ACCEPTS_CAUSAL_MASKS_IT_IGNORES) ? Causality.NEVER : Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .zeroesPaddedQueries(has(Fault.SAYS_IT_ZEROES_PADDED_ROWS));
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    if (has(Fault.HIDES_AN_AXIS_OF_POSITIONS)) {
      Axis hidden = Axis.of("hidden", s.keySeqLen());
      specs.add(TensorSpec.optional("noise", "", Draws::gaussian, s, BATCH, hidden));
    }
    return specs;
  }

  @Override
  public AttentionPlan plan(AttentionShape shape, Mask mask, int threads) {
    if (has(Fault.ACCEPTS_CAUSAL_MASKS_IT_IGNORES) && mask.isCausal()) {
      return new Plan(new PlanRequest(this, shape, Mask.none(), threads));
    }
    return Attention.super.plan(shape, mask, threads);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int counted = has(Fault.FORGETS_THE_THREADS_IN_ITS_COST) ? 1 : threads;
    return new Cost(1, 1, 4L * counted * (s.keySeqLen() + s.valueDim()));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return switch (fault) {
      case ACCEPTS_UNKNOWN_INPUTS -> new Plan(request, new Lenient(this));
      case HAS_ANOTHER_OUTPUT_SHAPE_THAN_DECLARED -> new Plan(request, new Transposed(this));
      default -> new Plan(request);
    };
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new Session(shape, threads);
  }

  /// Declares an input the mechanism does not have.
  private record Lenient(FaultyAttention inner) implements Attention {
    @Override
    public Capabilities capabilities() {
      return inner.capabilities();
    }

    @Override
    public Cost cost(AttentionShape shape, Mask mask, int threads) {
      return inner.cost(shape, mask, threads);
    }

    @Override
    public AttentionPlan newPlan(PlanRequest request) {
      return inner.newPlan(request);
    }

    @Override
    public List<TensorSpec> inputs(AttentionShape shape) {
      List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(shape));
      specs.add(TensorSpec.optional("no_such_input", "", Draws::gaussian, shape, ONE));
      return specs;
    }
  }

  /// Declares another output shape.
  private record Transposed(FaultyAttention inner) implements Attention {
    @Override
    public Capabilities capabilities() {
      return inner.capabilities();
    }

    @Override
    public Cost cost(AttentionShape shape, Mask mask, int threads) {
      return inner.cost(shape, mask, threads);
    }

    @Override
    public AttentionPlan newPlan(PlanRequest request) {
      return inner.newPlan(request);
    }

    @Override
    public List<Axis> outputAxes() {
      return List.of(BATCH, QUERY, HEADS, VALUE_DIM);
    }
  }

  private final class Plan extends AttentionPlan {
    private final float[][] scores = new float[threads()][];
    private final float[][] sums = new float[threads()][];
    private final Workers.Task head = this::head;
    private int calls;
    private float residue;

    Plan(PlanRequest request) {
      this(request, request.attention());
    }

    Plan(PlanRequest request, Attention declared) {
      super(new PlanRequest(declared, request.shape(), request.mask(), request.threads()));
      for (int t = 0; t < threads(); t++) {
        scores[t] = scratch.floats(shape.keySeqLen());
        sums[t] = scratch.floats(shape.valueDim());
      }
    }

    @Override
    protected void compute(Tensor output) {
      calls++;
      workers.run(shape.problems(), head);
      if (has(Fault.SCALES_QUERIES_IN_PLACE)) {
        float[] q = input("q");
        for (int e = 0; e < q.length; e++) {
          q[e] *= 2;
        }
      }
    }

    private void head(int worker, int index) {
      float[] row = has(Fault.ALLOCATES_A_ROW_PER_HEAD) ? row() : scores[worker];
      int b = index / shape.numHeads();
      int h = index % shape.numHeads();
      for (int i = 0; i < shape.querySeqLen(); i++) {
        if (has(Fault.LEAVES_THE_ROW_AFTER_A_BLOCK_UNWRITTEN) && i == BLOCK) {
          continue;
        }
        weights(b, h, i, row);
        mix(b, h, i, row, sums[worker]);
      }
    }

    private float[] row() {
      return new float[shape.keySeqLen()];
    }

    private boolean sees(int b, int i, int j) {
      int far = has(Fault.SEES_ONE_KEY_TOO_FAR) ? 1 : 0;
      boolean forgotten = has(Fault.FORGETS_THE_KEY_AFTER_A_BLOCK) && j == BLOCK;
      return !forgotten && j < limit(i + far) && mask.isRealKey(b, j);
    }

    private int limit(int i) {
      int nq = shape.querySeqLen();
      int nk = shape.keySeqLen();
      int honest = mask.causalLimit(i, nq, nk);
      if (mask.isCausal() && nq == nk) {
        if (has(Fault.IGNORES_CAUSAL_OFFSETS)) {
          return Math.min(i + 1, nk);
        }
        if (has(Fault.SEES_NO_FURTHER_THAN_ITSELF)) {
          return Math.min(honest, i + 1);
        }
      }
      return honest;
    }

    /// Leaves normalised weights in `row`, exactly 0 where the query may not see the key.
    private void weights(int b, int h, int i, float[] row) {
      float max = Float.NEGATIVE_INFINITY;
      for (int j = 0; j < shape.keySeqLen(); j++) {
        row[j] = Float.NEGATIVE_INFINITY;
        if (sees(b, i, j)) {
          row[j] = score(b, h, i, j);
          max = Math.max(max, row[j]);
        }
      }
      double sum = has(Fault.COUNTS_PADDED_KEYS) && mask.hasKeyPadding() ? padding(b) : 0;
      for (int j = 0; j < shape.keySeqLen(); j++) {
        float shift = has(Fault.SUBTRACTS_NO_MAXIMUM) ? 0 : max;
        row[j] = sees(b, i, j) ? (float) Math.exp(row[j] - shift) : 0;
        sum += row[j];
      }
      boolean empty = max == Float.NEGATIVE_INFINITY;
      for (int j = 0; j < shape.keySeqLen(); j++) {
        if (empty) {
          row[j] = has(Fault.AVERAGES_EMPTY_ROWS) ? 1f / shape.keySeqLen() : 0;
        } else {
          row[j] = (float) (row[j] / sum);
        }
      }
    }

    private int padding(int b) {
      return shape.keySeqLen() - mask.realKeys(b, shape.keySeqLen());
    }

    private float score(int b, int h, int i, int j) {
      int d = shape.headDim();
      int used = has(Fault.DROPS_THE_TAIL_OF_WIDTHS) && d >= 4 ? d / 4 * 4 : d;
      int kept =
          has(Fault.INTERLEAVES_GROUPED_HEADS)
              ? h % shape.numKeyValueHeads() * shape.groupSize()
              : h;
      int q = shape.queryOffset(b, h) + i * d;
      int k = shape.keyOffset(b, kept) + j * d;
      double sum = 0;
      for (int c = 0; c < used; c++) {
        sum += (double) input("q")[q + c] * input("k")[k + c];
      }
      double scale = 1 / Math.sqrt(d);
      if (has(Fault.SCALES_BY_THE_LENGTH)) {
        scale /= shape.keySeqLen();
      }
      if (has(Fault.DEPENDS_ON_THE_BATCH_SIZE)) {
        scale /= shape.batchSize();
      }
      return (float) (sum * scale);
    }

    private void mix(int b, int h, int i, float[] row, float[] sum) {
      int dv = shape.valueDim();
      Arrays.fill(sum, 0, dv, 0);
      for (int j = 0; j < shape.keySeqLen(); j++) {
        boolean later =
            has(Fault.MULTIPLIES_LATER_VALUES_BY_ZERO)
                && j >= mask.causalLimit(i, shape.querySeqLen(), shape.keySeqLen());
        boolean padded = has(Fault.MULTIPLIES_PADDED_VALUES_BY_ZERO) && !mask.isRealKey(b, j);
        if (sees(b, i, j) || later || padded || has(Fault.AVERAGES_EMPTY_ROWS)) {
          for (int c = 0; c < dv; c++) {
            sum[c] += row[j] * value(b, h, j, c);
          }
        }
      }
      int written = has(Fault.LEAVES_THE_TAIL_OF_WIDTHS_UNWRITTEN) && dv > 4 ? dv / 4 * 4 : dv;
      for (int c = 0; c < written; c++) {
        out[shape.outputOffset(b, h) + i * dv + c] = finished(b, h, i, sum, c);
      }
    }

    private float value(int b, int h, int j, int c) {
      return has(Fault.IGNORES_VALUES)
          ? 1
          : input("v")[shape.valueOffset(b, h) + j * shape.valueDim() + c];
    }

    private float finished(int b, int h, int i, float[] sum, int c) {
      switch (fault) {
        case MIXES_VALUE_COLUMNS -> {
          return sum[c] + 1e-3f * sum[shape.valueDim() - 1 - c];
        }
        case MIXES_BATCH_ENTRIES -> {
          return sum[c] + 1e-3f * input("v")[0];
        }
        case MIXES_HEADS -> {
          return sum[c] + 1e-3f * input("v")[shape.valueOffset(b, 0)];
        }
        case DEPENDS_ON_THE_THREADS -> {
          return sum[c] * (1 + threads() * 0x1p-22f);
        }
        case COUNTS_ITS_CALLS -> {
          return sum[c] * (1 + calls * 0x1p-22f);
        }
        case KEEPS_NAN_IN_ITS_SCRATCH -> {
          residue = 0 * (residue + sum[c]);
          return sum[c] + residue;
        }
        case SHARES_SCRATCH_BETWEEN_PLANS -> {
          return b + h + i + c == 0 ? throughSharedCell(sum[c]) : sum[c];
        }
        default -> {
          return sum[c];
        }
      }
    }

    /// Long enough for another plan to write in between.
    private float throughSharedCell(float value) {
      sharedCell = value;
      java.util.concurrent.locks.LockSupport.parkNanos(3_000_000);
      return sharedCell;
    }
  }

  /// A key/value cache.
  private final class Session extends TokenSession {
    private final List<float[]> keys = new ArrayList<>();
    private final List<float[]> values = new ArrayList<>();

    private final int threads;
    private double residue;

    Session(AttentionShape shape, int threads) {
      super(
          FaultyAttention.this,
          has(Fault.GROWS_BEYOND_ITS_CAPACITY) ? shape.withSeqLens(1 << 20, 1 << 20) : shape);
      this.threads = threads;
    }

    @Override
    protected void take(int t, int tokens) {
      keys.add(row(input("k"), t, tokens, shape.headDim()));
      values.add(row(input("v"), t, tokens, shape.valueDim()));
    }

    private float[] row(float[] data, int t, int tokens, int width) {
      int heads = shape.batchSize() * shape.numKeyValueHeads();
      float[] row = new float[heads * width];
      for (int h = 0; h < heads; h++) {
        System.arraycopy(data, (h * tokens + t) * width, row, h * width, width);
      }
      return row;
    }

    @Override
    protected void answer(float[] output) {
      int first = has(Fault.FORGETS_THE_FIRST_TOKEN) && keys.size() > 1 ? 1 : 0;
      int dv = shape.valueDim();
      for (int p = 0; p < shape.problems(); p++) {
        int kv =
            p / shape.numHeads() * shape.numKeyValueHeads()
                + p % shape.numHeads() / shape.groupSize();
        double sum = 0;
        double[] mixed = new double[dv];
        for (int j = first; j < keys.size(); j++) {
          double weight = weight(p, kv, keys.get(j));
          sum += weight;
          for (int c = 0; c < dv; c++) {
            mixed[c] += weight * values.get(j)[kv * dv + c];
          }
        }
        for (int c = 0; c < dv; c++) {
          if (has(Fault.KEEPS_NAN_AFTER_A_RESET)) {
            residue = 0 * (residue + mixed[c]);
          }
          double shift =
              has(Fault.DECODES_OTHERWISE_WITH_TWO_THREADS) ? (threads - 1) * 1e-6 : residue;
          output[p * dv + c] = (float) (mixed[c] / sum + shift);
        }
      }
    }

    private double weight(int p, int kv, float[] key) {
      int d = shape.headDim();
      double score = 0;
      for (int c = 0; c < d; c++) {
        score += (double) input("q")[p * d + c] * key[kv * d + c];
      }
      return Math.exp(score / Math.sqrt(d));
    }

    @Override
    protected void forget() {
      if (!has(Fault.FORGETS_TO_RESET)) {
        keys.clear();
        values.clear();
      }
    }

    @Override
    public long stateBytes() {
      int heads = shape.batchSize() * shape.numKeyValueHeads();
      return 4L * keys.size() * heads * (shape.headDim() + shape.valueDim());
    }
  }
}
