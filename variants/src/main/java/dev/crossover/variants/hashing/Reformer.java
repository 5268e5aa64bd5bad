// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;

/// LSH attention: tokens share one vector as query and key, are sorted by a random hash of it, and
/// attend within their chunk of the sorted order and the chunk before it; several rounds of hashing
/// are merged.
///
/// Kitaev, Kaiser, Levskaya, "Reformer: The Efficient Transformer", ICLR 2020, arXiv:2001.04451,
/// section 2; the hash is that of Andoni et al., arXiv:1509.02897.
///
/// ```
/// bucket_r(t) = argmax [x_t·R_r ; −x_t·R_r]                                      R ~ N(0,1)
/// order_r     = tokens by (bucket_r, t), cut into chunks of m
/// o_r(t)      = Σ_u softmax_u(scale · x_t·k̂_u) v_u      u in chunks c−before … c+after, u ≠ t
/// out_t       = Σ_r exp(L_r(t) − log Σ exp L) o_r(t)      L_r(t): log-sum-exp of round r
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | Q = K, V | `qk`, `v` | `[B,H,n,d]`, `[B,H,n,dv]` |
/// | R | `rotations`, drawn N(0,1) where absent | `[B,H,d,num_hashes,Σ num_buckets / 2]` |
/// | m | `chunk_length` | |
/// | n_buckets, n_rounds | `num_buckets`, factors of a product; `num_hashes` | |
/// | k̂ | `x/√(mean x² + 1e−6)/√d` (`trax`) or `x/max(‖x‖, 1e−12)` (`lucidrains`) | |
///
/// A token sees itself only if it sees nothing else: the codes subtract 1e5 (5e4) from its own
/// score, which is the same in float32 as long as scores stay below 1e4. A token that occurs
/// several times in the chunks looked at counts each time. Chunks wrap around the concatenated
/// rounds. Sequences that are no multiple of m are padded with masked tokens in a bucket of their
/// own.
///
/// Gradients, with G = ∂out, zero at padded rows, L_t the log-sum-exp over all rounds and D_t =
/// G_t·out_t: the rounds together are one softmax, whose backward pass (Dao et al.,
/// arXiv:2205.14135, appendix B.2) is, over every slot that t sees,
///
/// ```
/// P_tu = exp(s_tu − L_t)      ds_tu = P_tu (G_t·v_u − D_t)      ∂v_u = Σ P_tu G_t
/// ∂x_t = scale Σ ds_tu k̂_u    ∂k̂_u = scale Σ ds_tu x_t
/// ∂x_u += (∂k̂_u − k̂_u (k̂_u·∂k̂_u))/ρ_u                          k̂ = x/ρ
/// ```
///
/// Buckets, order and the counts N are constants, and so are the rotations. Kept: L; chunks are
/// those of the forward pass, weights are computed again.
///
/// Time per round `2·n·d·Σ num_buckets + 4·n·(before+1+after)·m·d`; scratch three integers per
/// token and round. Honours causal order and any key padding; padded query rows are zero. Under
/// causal order no later key is seen, but later tokens do move earlier ones between chunks: the
/// published mechanism leaks in this way, and prefixes do not agree.
///
/// No decoding session can therefore equal the causal forward pass: whether token t sees an earlier
/// token depends on how many later ones sort before it, and with the default number of buckets on
/// their total. The trax decoder answers another question: it takes the `num_hashes · m · (before +
/// 1)` most recent cached tokens that share a bucket with the new one in any round, filled up with
/// the most recent others, into one softmax. That is a mechanism of its own, whose error is not the
/// forward pass's, so it is not offered under this name.
///
/// Exact attention over shared queries and keys with the same rule for the token itself when
/// `chunk_length >= n`, or when one round has exactly two chunks.
///
/// @param variant whose key normalisation and temperature
/// @param chunkLength m, slots per chunk, at least 1
/// @param numBuckets even factors of the number of buckets; when empty 2·max(1, n div m), in two
///     factors above 128
/// @param numHashes rounds, at least 1
/// @param chunksBefore chunks looked at before the own one
/// @param chunksAfter chunks looked at after the own one
/// @param scale factor on the score; when absent 1 (`trax`) or 1/√d (`lucidrains`)
/// @param sameBucketOnly whether other buckets and rounds in the chunks looked at are hidden
/// @param discountDuplicates whether a pair found in N rounds has ln(N + 1e−9) subtracted from its
///     score; exact only with `sameBucketOnly`, otherwise pairs that no round counts gain 20.7
/// @param seed seed of the rotations
@Mechanism(
    name = "reformer",
    title = "Reformer (LSH attention)",
    paper = "Kitaev, Kaiser, Levskaya, Reformer: The Efficient Transformer, ICLR 2020",
    arxiv = "2001.04451",
    family = Mechanism.Family.HASHING,
    approximates = Mechanism.Approximates.SOFTMAX,
    target = "softmax over the queries, which serve as keys too",
    exactness = "chunk_length >= n, over shared queries and keys",
    time = "2 n d Σ num_buckets + 4 n r (before + 1 + after) m d",
    memory = "3 r n",
    exponent = 1,
    decoding =
        "none: chunks are cut from the tokens sorted by bucket, so that a later token "
            + "moves earlier ones into other chunks: row t of the causal forward pass depends "
            + "on tokens after t, and no session can foresee them",
    bound =
        "bringing rows into the order of their buckets: gathering takes 20 % of the time, hashing "
            + "18 %, writing rows back to their places 6 %; the two products are 42 %",
    differences = {
      @Mechanism.Difference(
          what = "Temperature",
          paper = "drops 1/√d from its equations",
          code = "trax: unit keys and no 1/√d; lucidrains: unit keys and 1/√d on top",
          paperOption = "variant=trax",
          codeOption = "variant=lucidrains",
          defaultIs = "trax, the authors' code",
          test = "ReformerTest.variantsDifferInTemperature"),
      @Mechanism.Difference(
          what = "Pairs found in several rounds",
          paper = "only equal buckets, each pair counted once by N_ij",
          code = "every slot of the chunks, each time it is found",
          paperOption = "same_bucket_only=true,discount_duplicates=true",
          codeOption = "same_bucket_only=false",
          defaultIs = "the code's, which made the published numbers",
          test = "ReformerTest.discountedPairsCountOnceOverAllRounds")
    })
public record Reformer(
    @Parameter(value = "key normalisation and temperature", defaultValue = "trax") Variant variant,
    @Parameter(value = "slots per chunk m, >= 1", defaultValue = "128") int chunkLength,
    @Parameter(
            value = "even factors of the number of buckets; 2 max(1, n div m) when absent",
            defaultValue = "")
        List<Integer> numBuckets,
    @Knob(
            values = {1, 2, 4, 8},
            costs = "rounds")
        @Parameter(value = "rounds r of hashing, >= 1", defaultValue = "1")
        int numHashes,
    @Parameter(value = "chunks looked at before the own one, >= 0", defaultValue = "1")
        int chunksBefore,
    @Parameter(value = "chunks looked at after the own one, >= 0", defaultValue = "0")
        int chunksAfter,
    @Parameter(
            value = "factor on the score, 1 (trax) or 1/√d (lucidrains) when absent",
            defaultValue = "")
        OptionalDouble scale,
    @Parameter(value = "whether other buckets are hidden", defaultValue = "false")
        boolean sameBucketOnly,
    @Parameter(
            value = "whether a pair found in N rounds has ln N subtracted",
            defaultValue = "false")
        boolean discountDuplicates,
    @Parameter(value = "seed of the rotations", defaultValue = "42") long seed)
    implements Attention {
  private static final int LARGEST_UNFACTORED = 128;

  /// Whose code's conventions.
  public enum Variant {
    /// The authors': keys of unit length by their mean square, no 1/√d.
    TRAX,
    /// reformer-pytorch: keys of unit length, and 1/√d.
    LUCIDRAINS
  }

  /// Validates the sizes.
  public Reformer {
    numBuckets = List.copyOf(numBuckets);
    require(chunkLength >= 1, "chunk_length must be >= 1", chunkLength);
    require(
        numBuckets.stream().allMatch(factor -> factor >= 2 && factor % 2 == 0),
        "num_buckets must be even integers >= 2",
        numBuckets);
    require(product(numBuckets) <= 1 << 20, "num_buckets must have a product <= 2^20", numBuckets);
    require(numHashes >= 1, "num_hashes must be >= 1", numHashes);
    require(chunksBefore >= 0, "chunks_before must be >= 0", chunksBefore);
    require(chunksAfter >= 0, "chunks_after must be >= 0", chunksAfter);
    require(scale.isEmpty() || Double.isFinite(scale.getAsDouble()), "scale must be finite", scale);
  }

  /// The authors' conventions and defaults, with these sizes.
  public Reformer(int chunkLength, List<Integer> numBuckets, int numHashes) {
    this(
        Variant.TRAX,
        chunkLength,
        numBuckets,
        numHashes,
        1,
        0,
        OptionalDouble.empty(),
        false,
        false,
        Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .valueDim(true)
        .zeroesPaddedQueries(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return List.of(
        TensorSpec.input(
            "qk",
            "shared queries and keys, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            KEY,
            HEAD_DIM),
        AttentionInputs.qkv(s).get(2),
        TensorSpec.parameter(
                "rotations",
                "hash directions, N(0,1)",
                Draws::gaussian,
                s,
                BATCH,
                HEADS,
                HEAD_DIM,
                Axis.of("hashes", numHashes),
                Axis.of("directions", directions(s.keySeqLen())))
            .constant());
  }

  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    return AttentionInputs.shapeOf(
        Tensors.qkv(inputs.get("qk"), inputs.get("qk"), inputs.get("v")));
  }

  /// The given `q` becomes `qk`; the given keys are dropped.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    Tensors given = qkv.has("q") ? qkv.with("qk", qkv.get("q")) : qkv;
    return AttentionInputs.complete(this, shape, given, seed);
  }

  /// Exact attention of the shared vectors over the normalised keys, the token itself last.
  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    Tensor qk = inputs.get("qk");
    Tensor keys = qk.copy();
    int d = shape.headDim();
    for (int row = 0; row < keys.size() / d; row++) {
      double squares = 0;
      for (int c = 0; c < d; c++) {
        squares += (double) qk.data()[row * d + c] * qk.data()[row * d + c];
      }
      for (int c = 0; c < d; c++) {
        keys.data()[row * d + c] = (float) (qk.data()[row * d + c] * keyFactor(squares, d));
      }
    }
    return new ExactTarget(shape, mask, qk, keys, inputs.get("v"), scaleFor(shape), true);
  }

  /// ∂x = ∂q + (∂k̂ − k̂ (k̂·∂k̂))/ρ, of q = x and k̂ = x/ρ.
  @Override
  public Map<String, double[]> targetGradients(
      Tensors inputs, double[] gradQuery, double[] gradKey) {
    float[] x = inputs.get("qk").data();
    int d = inputs.get("qk").extent(3);
    double[] gradient = gradQuery.clone();
    for (int row = 0; row < x.length / Math.max(1, d); row++) {
      int at = row * d;
      double squares = 0;
      double along = 0;
      for (int c = 0; c < d; c++) {
        squares += (double) x[at + c] * x[at + c];
        along += x[at + c] * gradKey[at + c];
      }
      double factor = keyFactor(squares, d);
      double taken = isKeyFactorConstant(squares) ? 0 : factor * factor * along;
      for (int c = 0; c < d; c++) {
        gradient[at + c] += factor * (gradKey[at + c] - taken * x[at + c]);
      }
    }
    return Map.of("qk", gradient);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double tokens = (double) s.problems() * s.keySeqLen() * numHashes;
    double hash = 2 * tokens * s.headDim() * directions(s.keySeqLen());
    double flops = hash + pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    double gathered = 2 * tokens * Float.BYTES * (s.headDim() + s.valueDim());
    long scratch = ReformerPlan.scratchBytes(this, s, threads);
    return new Cost(flops, Cost.tensorBytes(s) + gathered, scratch);
  }

  /// Pairs of all heads and rounds.
  private double pairs(AttentionShape s, Mask mask) {
    double tokens = (double) s.problems() * s.keySeqLen() * numHashes;
    double seen = (double) (chunksBefore + 1 + chunksAfter) * chunkLength;
    return tokens * seen * (mask.isCausal() ? 0.5 : 1);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new ReformerPlan(request, this, null);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new ReformerGradient(request, this);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return ReformerGradient.cost(this, s, pairs(s, mask), threads);
  }

  /// What a token's score with itself is lowered by; below every score that counts.
  float selfPenalty() {
    return variant == Variant.TRAX ? 1e5f : 5e4f;
  }

  /// The factor that turns x into k̂.
  ///
  /// @param squares sum of the squares of x
  double keyFactor(double squares, int dim) {
    return variant == Variant.TRAX
        ? 1 / Math.sqrt(squares / dim + 1e-6) / Math.sqrt(dim)
        : 1 / Math.max(Math.sqrt(squares), 1e-12);
  }

  /// Whether the factor of such an x is a constant rather than a function of its length.
  boolean isKeyFactorConstant(double squares) {
    return variant == Variant.LUCIDRAINS && Math.sqrt(squares) <= 1e-12;
  }

  double scaleFor(AttentionShape shape) {
    return scale.orElse(variant == Variant.TRAX ? 1 : Attention.defaultScale(shape));
  }

  /// The factors of the number of buckets.
  List<Integer> bucketFactors(int n) {
    if (!numBuckets.isEmpty()) {
      return numBuckets;
    }
    int buckets = 2 * Math.max(1, n / chunkLength);
    if (buckets <= LARGEST_UNFACTORED) {
      return List.of(buckets);
    }
    int first = 1;
    while ((long) first * first < buckets) {
      first *= 2;
    }
    return List.of(first, 2 * (buckets / (2 * first)));
  }

  /// Columns of the rotations of one round: half of the factors' sum.
  int directions(int n) {
    return bucketFactors(n).stream().mapToInt(Integer::intValue).sum() / 2;
  }

  /// Number of buckets, without the one of padded tokens.
  int buckets(int n) {
    return (int) product(bucketFactors(n));
  }

  private static long product(List<Integer> factors) {
    long product = 1;
    for (int factor : factors) {
      product = Math.min(Integer.MAX_VALUE, product * factor);
    }
    return product;
  }

  private static void require(boolean holds, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }
}
