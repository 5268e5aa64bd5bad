package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.linear.Segments;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Efficient attention: keys are normalised over positions, queries over features, and the product
/// of keys and values is formed first.
///
/// Shen, Zhang, Zhao, Yi, Li: "Efficient Attention: Attention with Linear Complexities", WACV 2021,
/// arXiv:1812.01243, equations (2) to (5).
///
/// ```
/// G   = ρ_k(k)ᵀ v                      [d, dv], the global context
/// out = ρ_q(q) G
/// softmax   ρ_q: softmax over the features of each row,  ρ_k: softmax over the positions of each channel
/// scaling   ρ_q(q) = q/√n,  ρ_k(k) = k/√n,  n the number of real keys
/// ```
///
/// | paper | here | shape                               |
/// |-------|------|-------------------------------------|
/// | Q     | `q`  | `[batch, numHeads, nq, d]`          |
/// | K     | `k`  | `[batch, numKeyValueHeads, nk, d]`  |
/// | V     | `v`  | `[batch, numKeyValueHeads, nk, dv]` |
///
/// Time `2·nk·d·dv + 2·nq·d·dv` per head; memory d·(dv + 2) per segment. No factor 1/√d. Honours
/// key padding in any pattern; without any real key the output is zero. Causal order is refused:
/// the column softmax runs over future positions. With `softmax` every output is a convex
/// combination of values, but no setting makes it softmax attention; with `scaling` it is (q kᵀ/n)
/// v exactly.
///
/// The column softmax takes one pass: when a channel's maximum rises, its row of G and its sum are
/// scaled down. The authors' module adds projections and a residual, which are outside the
/// mechanism.
///
/// @param normalisation ρ_q and ρ_k
@Mechanism(
    name = "efficient_attention",
    title = "Efficient Attention",
    paper = "Shen et al., Efficient Attention: Attention with Linear Complexities, WACV 2021",
    arxiv = "1812.01243",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: another normalisation than softmax over keys",
    time = "4 n d²",
    memory = "d²",
    exponent = 1,
    decoding =
        "none: each channel of the keys is normalised over all positions, later ones "
            + "included, so it cannot be causal",
    bound =
        "the two products, near the peak, are under half of the time; "
            + "exponentials and maxima of query rows and key channels are a quarter, "
            + "waiting for memory and adding up the rest")
public record EfficientAttention(
    @Parameter(value = "how queries and keys are normalised", defaultValue = "softmax")
        Normalisation normalisation)
    implements Attention {

  /// Normalisations.
  public enum Normalisation {
    /// Queries over features, keys over positions.
    SOFTMAX,
    /// Both by 1/√n.
    SCALING
  }

  /// With the paper's default, softmax.
  public EfficientAttention() {
    this(Normalisation.SOFTMAX);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    boolean softmax = normalisation == Normalisation.SOFTMAX;
    double keyHeads = (double) s.batchSize() * s.numKeyValueHeads();
    double product = 2.0 * s.headDim() * s.valueDim();
    int segments = Segments.ofKeys(s, mask).count();
    double flops =
        keyHeads * s.keySeqLen() * (product + (softmax ? 4.0 * s.headDim() : 0))
            + keyHeads * segments * product
            + (double) s.problems()
                * s.querySeqLen()
                * (product + (softmax ? 4.0 : 0) * s.headDim());
    long floats =
        (long) keyHeads * segments * Context.floats(s)
            + threads * (Segments.CHUNK * (s.headDim() + 1L) + s.headDim());
    return new Cost(flops, Cost.tensorBytes(s), floats * Float.BYTES);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  /// Σ exp(k − max)ᵀ v and Σ exp(k − max) of some keys, each channel with its own maximum; or Σ kᵀ
  /// v.
  private static final class Context {
    final float[] product;
    final float[] sums;
    final float[] max;

    Context(Scratch scratch, AttentionShape s) {
      product = scratch.floats((long) s.headDim() * s.valueDim());
      sums = scratch.floats(s.headDim());
      max = scratch.floats(s.headDim());
    }

    static long floats(AttentionShape s) {
      return s.headDim() * (s.valueDim() + 2L);
    }

    void clear() {
      Arrays.fill(product, 0);
      Arrays.fill(sums, 0);
      Arrays.fill(max, Float.NEGATIVE_INFINITY);
    }
  }

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final boolean softmax = normalisation == Normalisation.SOFTMAX;
    private final int d = shape.headDim();
    private final int dv = shape.valueDim();
    private final int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    private final Segments keySegments = Segments.ofKeys(shape, mask);
    private final Segments querySegments = Segments.ofQueries(shape);
    private final Context[][] contexts = new Context[keyHeads][keySegments.count()];
    private final float[][] rows = new float[threads()][];
    private final float[][] newMax = new float[threads()][];
    private final float[][] maxima = new float[threads()][];
    private final float[] readAhead = new float[threads()];
    private final Workers.Task accumulate = this::accumulate;
    private final Workers.Task normalise = this::normalise;
    private final Workers.Task attend = this::attend;
    private float[] out = new float[0];

    Plan(PlanRequest request) {
      super(request);
      for (Context[] head : contexts) {
        for (int s = 0; s < head.length; s++) {
          head[s] = new Context(scratch, shape);
        }
      }
      for (int t = 0; t < rows.length; t++) {
        rows[t] = scratch.floats((long) Segments.CHUNK * d);
        newMax[t] = scratch.floats(d);
        maxima[t] = scratch.floats(Segments.CHUNK);
      }
    }

    @Override
    protected void compute(Tensor output) {
      out = output.data();
      workers.run(keyHeads * keySegments.count(), accumulate);
      workers.run(keyHeads, normalise);
      workers.run(shape.problems() * querySegments.count(), attend);
    }

    /// One segment's part of the global context, chunk by chunk of real keys.
    private void accumulate(int worker, int index) {
      int keyHead = index / keySegments.count();
      int segment = index % keySegments.count();
      int batch = keyHead / shape.numKeyValueHeads();
      int end = keySegments.end(segment);
      Context context = contexts[keyHead][segment];
      context.clear();
      for (int j = keySegments.start(segment); j < end; j++) {
        int first = j;
        while (j < end && j - first < Segments.CHUNK && mask.isRealKey(batch, j)) {
          j++;
        }
        if (j > first) {
          add(worker, context, (keyHead * shape.keySeqLen() + first), j - first);
          j--;
        }
      }
    }

    /// Adds ρ_k(k)ᵀ v of some rows, up to each channel's sum.
    private void add(int worker, Context context, int row, int count) {
      float[] k = input("k");
      float[] v = input("v");
      int ko = row * d;
      int vo = row * dv;
      readAhead[worker] =
          kernels.readAhead(count * d, k, ko) + kernels.readAhead(count * dv, v, vo);
      if (softmax) {
        raiseMaxima(worker, context, k, ko, count);
        float[] weights = rows[worker];
        kernels.expOfColumns(count, d, context.max, 0, k, ko, weights, 0, context.sums, 0);
        k = weights;
        ko = 0;
      }
      kernels.multiplyTransposedA(d, dv, count, k, ko, d, v, vo, dv, context.product, 0, dv, true);
    }

    /// Takes the maximum of every channel over some more rows and rescales what is there already.
    private void raiseMaxima(int worker, Context context, float[] k, int ko, int count) {
      float[] raised = newMax[worker];
      System.arraycopy(context.max, 0, raised, 0, d);
      kernels.maximaOfColumns(count, d, k, ko, d, raised, 0);
      rescale(context, raised);
    }

    private void rescale(Context context, float[] max) {
      for (int c = 0; c < d; c++) {
        if (max[c] != context.max[c]) {
          float factor = (float) Math.exp((double) context.max[c] - max[c]);
          context.max[c] = max[c];
          context.sums[c] *= factor;
          kernels.scale(dv, factor, context.product, c * dv, context.product, c * dv);
        }
      }
    }

    /// G: the segments' contexts added in order, divided by each channel's sum or by n.
    private void normalise(int worker, int keyHead) {
      Context total = contexts[keyHead][0];
      float[] common = newMax[worker];
      for (int s = 1; s < contexts[keyHead].length; s++) {
        Context part = contexts[keyHead][s];
        for (int c = 0; c < d; c++) {
          common[c] = Math.max(total.max[c], part.max[c]);
        }
        rescale(total, common);
        rescale(part, common);
        kernels.add(d, total.sums, 0, part.sums, 0, total.sums, 0);
        kernels.add(d * dv, total.product, 0, part.product, 0, total.product, 0);
      }
      int real = mask.realKeys(keyHead / shape.numKeyValueHeads(), shape.keySeqLen());
      for (int c = 0; c < d && real > 0; c++) {
        float by = softmax ? total.sums[c] : real;
        kernels.scale(dv, 1 / by, total.product, c * dv, total.product, c * dv);
      }
    }

    /// out = ρ_q(q) G for one segment of queries.
    private void attend(int worker, int index) {
      int problem = index / querySegments.count();
      int segment = index % querySegments.count();
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int keyHead = batch * shape.numKeyValueHeads() + h / shape.groupSize();
      int end = querySegments.end(segment);
      for (int i = querySegments.start(segment); i < end; i += Segments.CHUNK) {
        int count = Math.min(Segments.CHUNK, end - i);
        float[] q = input("q");
        int qo = shape.queryOffset(batch, h) + i * d;
        readAhead[worker] = kernels.readAhead(count * d, q, qo);
        if (softmax) {
          kernels.softmaxRows(count, d, 1, q, qo, d, rows[worker], 0, d, maxima[worker], 0);
          q = rows[worker];
          qo = 0;
        }
        kernels.multiply(
            count,
            dv,
            d,
            q,
            qo,
            d,
            contexts[keyHead][0].product,
            0,
            dv,
            out,
            shape.outputOffset(batch, h) + i * dv,
            dv,
            false);
      }
    }
  }
}
