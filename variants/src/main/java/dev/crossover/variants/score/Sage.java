// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.KEY_VALUE_HEADS;
import static dev.crossover.attention.Axis.QUERY;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/// SageAttention: softmax attention over queries and keys of eight bits, one scale per block of
/// rows, with the mean key taken off first.
///
/// Zhang et al., "SageAttention: Accurate 8-Bit Attention for Plug-and-play Inference
/// Acceleration", ICLR 2025, arXiv:2410.02367, section 4; the codes are those of the authors'
/// kernel (thu-ml/SageAttention, triton/quant_per_block.py), bit for bit.
///
/// ```
/// 1 smooth   k_j ← k_j − mean of all keys                         of the key head
/// 2 scale    q_i ← q_i / √d, base_2: times log2 e
/// 3 codes    σ = max │x│ / 127 over the block,  code = x / σ, half away from zero
/// 4 scores   s_ij = σ_q σ_k Σ_c qcode_ic kcode_jc,  base_2: times ln 2
/// 5 output   out_i = Σ_j softmax_j(s_ij) v_j
/// ```
///
/// | paper | here                           | shape                             |
/// |-------|--------------------------------|-----------------------------------|
/// | Q     | `q`                            | `[batch, heads, nq, d]`           |
/// | K, V  | `k`, `v`                       | `[batch, kvHeads, nk, d]`, `[…, dv]` |
/// | Q̂, K̂ | `query_codes`, `key_codes`     | as q, as k                        |
/// | δ     | `query_scale`, `key_scale`     | `[batch, heads, blocks]`, `[batch, kvHeads, blocks]` |
///
/// The mean changes all scores of a row by the same amount: exact in exact arithmetic, and keys
/// with a common offset, as trained models have them, no longer waste the range. A score is off by
/// at most `Σ_c (│q_c│ σ_k + │k_c│ σ_q) / 2 + d σ_q σ_k / 4`.
///
/// An emulation: Java's vectors have no product of bytes with 32-bit sums, so codes are multiplied
/// back to floats and attended to by the exact engine. Error and codes are the paper's, its gain of
/// speed and memory is not there. Time `4·pairs·d`; scratch q and k once more, and what exact
/// attention needs.
///
/// A mean, and the scale of a block, know all its rows: in causal order a row depends on later
/// tokens, by less than the error above. Nothing else of them reaches it; numbers that are not
/// finite are left out of means and scales. Behind padding `masked_rows` decides: the code has no
/// padding there, so its hidden rows count; left out, they do not, and a padded query has a scale
/// of its own. Rows that may see no key are zero. Equal keys, or one key: exact.
///
/// Neither a backward pass nor a session: the paper is about inference over whole sequences, and
/// the mean changes with every key.
///
/// @param queryBlock query rows that share a scale
/// @param keyBlock keys that share a scale
/// @param smoothKey whether the mean key is taken off
/// @param exponential whether log2 e is folded into the queries before they are coded
/// @param maskedRows whether rows behind padding count in means and scales
@Mechanism(
    name = "sage",
    title = "SageAttention (8-bit queries and keys)",
    paper = "Zhang et al., SageAttention: Accurate 8-Bit Attention, ICLR 2025",
    arxiv = "2410.02367",
    family = Mechanism.Family.SCORE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "error falls with the scales of the blocks; equal keys: exact",
    time = "4 n² d",
    memory = "3 n d",
    exponent = 2,
    decoding = "the mean key and the scale of a block change with every token",
    differences = {
      @Mechanism.Difference(
          what = "rows behind padding",
          paper = "no padding",
          code = "hidden keys count in the mean and in the scales of their blocks",
          paperOption = "",
          codeOption = "masked_rows=counted",
          defaultIs = "left out, because nothing hidden may change a visible row",
          test = "SageTest.hiddenKeysCountInTheCodeOnly")
    })
public record Sage(
    @Parameter(value = "query rows that share a scale, >= 1", defaultValue = "128") int queryBlock,
    @Knob(
            values = {1, 4, 16, 64, 256},
            accuracy = Knob.Accuracy.FALLS,
            costs = "nothing: fewer scales")
        @Parameter(value = "keys that share a scale, >= 1", defaultValue = "64")
        int keyBlock,
    @Parameter(value = "take the mean key off", defaultValue = "true") boolean smoothKey,
    @Parameter(value = "base that queries are scaled for before coding", defaultValue = "base_2")
        Exponential exponential,
    @Parameter(
            value = "rows behind padding in means and scales",
            defaultValue = "left_out",
            goldenDefault = "counted")
        MaskedRows maskedRows)
    implements Attention {

  /// What queries are scaled for.
  public enum Exponential {
    /// Powers of two: log2 e is part of the query's scale.
    BASE_2,
    /// The exponential function.
    BASE_E
  }

  /// What becomes of rows behind padding.
  public enum MaskedRows {
    /// They take no part in means and scales.
    LEFT_OUT,
    /// They take part.
    COUNTED
  }

  /// log2 e as the kernel writes it.
  private static final double LOG2_E = 1.44269504;

  private static final int LARGEST_CODE = 127;
  private static final String QUERY_CODES = "query_codes";
  private static final String KEY_CODES = "key_codes";
  private static final String QUERY_SCALE = "query_scale";
  private static final String KEY_SCALE = "key_scale";

  /// Validates the parameters.
  public Sage {
    if (queryBlock < 1) {
      throw new IllegalArgumentException("query_block must be >= 1, but was " + queryBlock);
    }
    if (keyBlock < 1) {
      throw new IllegalArgumentException("key_block must be >= 1, but was " + keyBlock);
    }
  }

  /// The kernel's blocks.
  public Sage() {
    this(128, 64);
  }

  /// Other blocks.
  public Sage(int queryBlock, int keyBlock) {
    this(queryBlock, keyBlock, true, Exponential.BASE_2, MaskedRows.LEFT_OUT);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Capabilities.Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true);
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    int b = s.batchSize();
    int h = s.numHeads();
    int hk = s.numKeyValueHeads();
    int nq = s.querySeqLen();
    int nk = s.keySeqLen();
    return List.of(
        TensorSpec.result(QUERY_CODES, "codes of scaled queries", s, BATCH, HEADS, QUERY, HEAD_DIM),
        TensorSpec.result(
            KEY_CODES, "codes of smoothed keys", s, BATCH, KEY_VALUE_HEADS, KEY, HEAD_DIM),
        TensorSpec.result(
            QUERY_SCALE,
            "σ of query blocks",
            s,
            BATCH,
            HEADS,
            Axis.of("query_blocks", Math.ceilDiv(nq, queryBlock))),
        TensorSpec.result(
            KEY_SCALE,
            "σ of key blocks",
            s,
            BATCH,
            KEY_VALUE_HEADS,
            Axis.of("key_blocks", Math.ceilDiv(nk, keyBlock))));
  }

  /// Exact attention over the coded rows.
  private Tiled softmax() {
    return new Tiled(OptionalDouble.of(exponential == Exponential.BASE_2 ? Math.log(2) : 1));
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    Cost softmax = softmax().cost(s, mask, threads);
    double queries = (double) s.problems() * s.querySeqLen() * s.headDim();
    double keys = (double) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen() * s.headDim();
    long rows = (long) s.problems() * s.querySeqLen();
    long keyRows = (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
    long means = (long) s.batchSize() * s.numKeyValueHeads() * s.headDim();
    return new Cost(
        softmax.flops() + 5 * queries + (smoothKey ? 6 : 4) * keys,
        softmax.bytesMoved() + 2 * Float.BYTES * (queries + keys),
        softmax.scratchBytes()
            + Float.BYTES * (rows * s.headDim() + keyRows * (s.headDim() + s.valueDim()))
            + Double.BYTES * means);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  /// The steps in their order; a block is a task.
  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final int d = shape.headDim();
    private final int nq = shape.querySeqLen();
    private final int nk = shape.keySeqLen();
    private final int queryBlocks = Math.ceilDiv(nq, queryBlock);
    private final int keyBlocks = Math.ceilDiv(nk, keyBlock);
    private final int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    private final double logarithms = exponential == Exponential.BASE_2 ? LOG2_E : 1;
    private final float factor = (float) (Attention.defaultScale(shape) * logarithms);
    private final AttentionPlan softmax;

    /// What exact attention reads: coded rows, and the values as they are.
    private final Tensors coded;

    private final float[] queries;
    private final float[] keys;
    private final double[] means = scratch.doubles((long) keyHeads * d);
    private final Workers.Task smooth = this::smooth;
    private final Workers.Task query = this::query;
    private final Workers.Task key = this::key;

    Plan(PlanRequest request) {
      super(request);
      softmax = part(softmax(), shape, mask);
      coded =
          Tensors.qkv(
              rows(shape.numHeads(), nq, d),
              rows(shape.numKeyValueHeads(), nk, d),
              rows(shape.numKeyValueHeads(), nk, shape.valueDim()));
      queries = coded.get("q").data();
      keys = coded.get("k").data();
    }

    private Tensor rows(int heads, int n, int width) {
      long floats = (long) shape.batchSize() * heads * n * width;
      return Tensor.of(scratch.floats(floats), shape.batchSize(), heads, n, width);
    }

    @Override
    protected void compute(Tensor output) {
      float[] values = coded.get("v").data();
      System.arraycopy(input("v"), 0, values, 0, values.length);
      workers.run(keyHeads, smooth);
      workers.run(shape.problems() * queryBlocks, query);
      workers.run(keyHeads * keyBlocks, key);
      softmax.forward(coded, output);
    }

    /// The keys of a head without their mean.
    private void smooth(int worker, int head) {
      int at = head * nk * d;
      System.arraycopy(input("k"), at, keys, at, nk * d);
      if (!smoothKey) {
        return;
      }
      int mean = head * d;
      int count = 0;
      Arrays.fill(means, mean, mean + d, 0);
      for (int j = 0; j < nk; j++) {
        if (counts(head / shape.numKeyValueHeads(), j) && isFinite(keys, at + j * d)) {
          count++;
          for (int c = 0; c < d; c++) {
            means[mean + c] += keys[at + j * d + c];
          }
        }
      }
      for (int e = 0; count > 0 && e < nk * d; e++) {
        keys[at + e] -= (float) (means[mean + e % d] / count);
      }
    }

    /// Whether a position takes part in means and scales.
    private boolean counts(int batch, int position) {
      return maskedRows == MaskedRows.COUNTED || mask.isRealKey(batch, position);
    }

    private boolean isFinite(float[] x, int at) {
      return Float.isFinite(kernels.largestMagnitude(d, x, at));
    }

    private void query(int worker, int index) {
      int problem = index / queryBlocks;
      int batch = problem / shape.numHeads();
      int block = index % queryBlocks;
      int end = Math.min(nq, (block + 1) * queryBlock);
      int at = problem * nq * d;
      float largest = 0;
      for (int i = block * queryBlock; i < end; i++) {
        kernels.scale(d, factor, input("q"), at + i * d, queries, at + i * d);
        if (nq != nk || counts(batch, i)) {
          largest = larger(largest, queries, at + i * d);
        }
      }
      float sigma = largest / LARGEST_CODE;
      float[] codes = wantsResult(QUERY_CODES) ? result(QUERY_CODES) : null;
      for (int i = block * queryBlock; i < end; i++) {
        boolean shared = nq != nk || counts(batch, i);
        float own = shared ? sigma : larger(0, queries, at + i * d) / LARGEST_CODE;
        code(queries, at + i * d, own, codes);
      }
      if (wantsResult(QUERY_SCALE)) {
        result(QUERY_SCALE)[index] = sigma;
      }
    }

    private void key(int worker, int index) {
      int head = index / keyBlocks;
      int batch = head / shape.numKeyValueHeads();
      int block = index % keyBlocks;
      int end = Math.min(nk, (block + 1) * keyBlock);
      int at = head * nk * d;
      float largest = 0;
      for (int j = block * keyBlock; j < end; j++) {
        if (counts(batch, j)) {
          largest = larger(largest, keys, at + j * d);
        } else {
          Arrays.fill(keys, at + j * d, at + (j + 1) * d, 0); // nobody sees it
        }
      }
      float sigma = largest / LARGEST_CODE;
      float[] codes = wantsResult(KEY_CODES) ? result(KEY_CODES) : null;
      for (int j = block * keyBlock; j < end; j++) {
        code(keys, at + j * d, sigma, codes);
      }
      if (wantsResult(KEY_SCALE)) {
        result(KEY_SCALE)[index] = sigma;
      }
    }

    /// The larger of a magnitude and those of a row; a row that is not finite has none.
    private float larger(float magnitude, float[] x, int at) {
      float largest = kernels.largestMagnitude(d, x, at);
      return Float.isFinite(largest) ? Math.max(magnitude, largest) : magnitude;
    }

    /// Codes of a row, and the row that they stand for in its place; what is not finite stays.
    private void code(float[] x, int at, float sigma, float @Nullable [] codes) {
      for (int e = at; e < at + d; e++) {
        boolean finite = Float.isFinite(x[e]);
        float code = finite && sigma > 0 ? nearest(x[e] / sigma) : 0;
        x[e] = finite ? code * sigma : x[e];
        if (codes != null) {
          codes[e] = code;
        }
      }
    }
  }

  /// The nearest whole number, halves away from zero, as the kernel rounds.
  private static float nearest(float x) {
    return (int) (x + Math.copySign(0.5f, x));
  }
}
