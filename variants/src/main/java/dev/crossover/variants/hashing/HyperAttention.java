// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Ability;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.FittedAttention;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Branch;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import org.apache.commons.rng.UniformRandomProvider;

/// HyperAttention: queries and keys sorted by one locality-sensitive hash, softmax inside blocks of
/// the sorted order, and a uniform sample of keys for all that lies outside.
///
/// Han, Jayaram, Karbasi, Mirrokni, Woodruff, Zandieh: "HyperAttention: Long-context Attention in
/// Near-Linear Time", ICLR 2024, arXiv:2310.05869; code in insuhan/hyper-attn, models/attention.
///
/// Of a square of n queries and n keys, in blocks of b:
///
/// ```
/// exact       if n < min_seq_len
/// 1 hash      bin = Σ_a 2^a [x · projection_a > 0],   h = bin xor (bin >> 1)
/// 2 sort      q and k stably by h, each for itself; zero rows up to a multiple of b
/// 3 block     sorted query i sees the keys of block i div b, zero rows among them: o1, lse1
/// 4 sampled   n > b: keys at m sorted positions, those of the own block left out; lse2 + ln(n / m)
/// 5 merge     c = 1 / (1 + exp(lse2 − lse1)),   out = c o1 + (1 − c) o2,   lse = lse1 − ln c
/// ```
///
/// 3 to 5 are one softmax over a multiset: the keys of the block, and the sampled ones with ln(n /
/// m) added to their scores. That is how they are computed.
///
/// Causal: n ≤ min_seq_len is exact. Else both halves are treated alike, and the square of the
/// later half's queries and the earlier half's keys as above, its multiset added to that of the
/// later half. An odd n counts one more zero row.
///
/// | paper   | here          | shape                                                           |
/// |---------|---------------|-----------------------------------------------------------------|
/// | Q, K, V | `q`, `k`, `v` | `[B,H,n,d]`, `[B,H,n,dv]`                                       |
/// | LSH     | `projections` | `[d,r]`, of all heads, N(0,1)                                   |
/// | samples | `samples`     | `[B,H,m]`, sorted positions, with repetition; in a square of n keys modulo n |
///
/// Backward: sorting and samples are constants. With G = ∂out, L the log-sum-exp of the whole
/// multiset of a row, β = ln(n / m) for sampled keys and 0 for others:
///
/// ```
/// p_ij = exp(s_ij + β_ij − L_i)      ds_ij = p_ij (G_i · v_j − G_i · out_i)
/// ∂q_i = scale Σ_j ds_ij k_j      ∂k_j = scale Σ_i ds_ij q_i      ∂v_j = Σ_i p_ij G_i
/// ```
///
/// over the multiset: every copy of a key adds its own. L is kept; zero rows count in it and get
/// nothing.
///
/// Time of one head `4·n·d·r` for the hashes, `2·n·(b + m)·(d + dv)`; causal that of log₂(n /
/// min_seq_len) levels and of exact leaves. Scratch codes and permutations, blocks of gathered keys
/// and values per thread, and in causal order the packed keys of the leaves. Causal or not, no
/// padding: a padded key would be hashed like any other. In causal order later tokens move earlier
/// queries between blocks, as in the authors' code, so that it does not decode.
///
/// Exact for n < min_seq_len, causal n ≤ min_seq_len, and with one block and no samples. With
/// `mask_own_block` numerator and denominator of the sampled part are unbiased. The paper's theorem
/// samples rows by the norms of V; code and this class sample uniformly, with replacement.
///
/// @param lshNumProjs r, bits of the hash
/// @param blockSize b
/// @param sampleSize m, 0 for none
/// @param minSeqLen shorter sequences are exact
/// @param maskOwnBlock whether sampled keys of the own block are left out
/// @param codeOrder what keys are sorted by
/// @param scale factor on the dot products; 1/√d when absent
/// @param seed seed of projections and samples
@Mechanism(
    name = "hyper_attention",
    title = "HyperAttention",
    paper = "Han et al., HyperAttention: Long-context Attention in Near-Linear Time, ICLR 2024",
    arxiv = "2310.05869",
    family = Mechanism.Family.HASHING,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "n < min_seq_len; one block and no samples",
    time = "4 n (b + m) d + 4 n r d",
    memory = "8 n (causal: + n d)",
    exponent = 1,
    decoding = "none: queries are sorted together, later ones move earlier ones between blocks",
    differences = {
      @Mechanism.Difference(
          what = "Sampled keys of the own block",
          paper = "left out: the block has counted them",
          code = "counted again, except on the half-precision path of its Triton kernels",
          paperOption = "block_size=32,sample_size=32,min_seq_len=64",
          codeOption = "block_size=32,sample_size=32,min_seq_len=64,mask_own_block=false",
          defaultIs = "the paper's, whose estimate is unbiased",
          test = "HyperAttentionTest.sampledKeysOfTheOwnBlockCountAgainInTheCode"),
      @Mechanism.Difference(
          what = "Order of the hash codes",
          paper = "neighbouring buckets differ in one bit",
          code =
              "bin xor (bin >> 1), which for three bits or more is not the rank in the Gray code",
          paperOption = "block_size=32,sample_size=32,min_seq_len=64,code_order=rank",
          codeOption = "block_size=32,sample_size=32,min_seq_len=64",
          defaultIs = "the code's, which made the published results",
          test = "HyperAttentionTest.neighboursInTheOrderOfRanksDifferInOneBit")
    })
public record HyperAttention(
    @Parameter(value = "bits r of the hash, from 1 to 20", defaultValue = "7") int lshNumProjs,
    @Knob(
            values = {32, 64, 128, 256, 512},
            costs = "pairs per query")
        @Parameter(value = "keys b of a block, >= 1", defaultValue = "256")
        int blockSize,
    @Knob(
            values = {0, 64, 128, 256, 512},
            costs = "pairs per query")
        @Branch("samples")
        @Parameter(value = "sampled keys m, >= 0", defaultValue = "256")
        int sampleSize,
    @Parameter(value = "shorter sequences are exact, >= 1", defaultValue = "4096") int minSeqLen,
    @Parameter(value = "sampled keys of the own block are left out", defaultValue = "true")
        boolean maskOwnBlock,
    @Parameter(value = "what keys are sorted by", defaultValue = "gray") CodeOrder codeOrder,
    @Parameter(value = "factor on the scores; 1/sqrt(d) when absent", defaultValue = "")
        OptionalDouble scale,
    @Parameter(value = "seed of projections and samples", defaultValue = "42") long seed)
    implements FittedAttention {
  private static final int MOST_BITS = 20;

  /// What queries and keys are sorted by.
  public enum CodeOrder {
    /// bin xor (bin >> 1).
    GRAY,
    /// The rank of bin in the Gray code, the inverse of that.
    RANK
  }

  /// Validates the parameters.
  public HyperAttention {
    require(
        lshNumProjs >= 1 && lshNumProjs <= MOST_BITS,
        "lsh_num_projs must be from 1 to " + MOST_BITS,
        lshNumProjs);
    require(blockSize >= 1, "block_size must be >= 1", blockSize);
    require(sampleSize >= 0, "sample_size must be >= 0", sampleSize);
    require(minSeqLen >= 1, "min_seq_len must be >= 1", minSeqLen);
    require(Double.isFinite(scale.orElse(1)), "scale must be finite", scale.orElse(1));
  }

  private static void require(boolean holds, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  /// With blocks, samples and a shortest length of its own.
  public HyperAttention(int blockSize, int sampleSize, int minSeqLen) {
    this(
        7,
        blockSize,
        sampleSize,
        minSeqLen,
        true,
        CodeOrder.GRAY,
        OptionalDouble.empty(),
        Draws.DEFAULT_SEED);
  }

  /// The published settings.
  public HyperAttention() {
    this(256, 256, 4096);
  }

  /// The numbers of projections and of samples that the tensors have; no samples where there are
  /// none.
  @Override
  public Attention fittedTo(Tensors inputs) {
    if (!inputs.has("projections") || inputs.get("projections").rank() != 2) {
      return this;
    }
    boolean sampled = inputs.has("samples") && inputs.get("samples").rank() == 3;
    return new HyperAttention(
        inputs.get("projections").extent(1),
        blockSize,
        sampled ? inputs.get("samples").extent(2) : 0,
        minSeqLen,
        maskOwnBlock,
        codeOrder,
        scale,
        seed);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .valueDim(true)
        .gradients(true)
        .with(Ability.CHOOSES_AHEAD);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.parameter(
                "projections",
                "hash directions of all heads, N(0,1)",
                Draws::gaussian,
                s,
                HEAD_DIM,
                Axis.of("projections", lshNumProjs))
            .constant());
    specs.add(
        TensorSpec.parameter(
                "samples",
                "positions in the sorted order of the keys, uniform; counted modulo their number",
                (seed, shape) -> positions(seed, s.keySeqLen(), shape),
                s,
                BATCH,
                HEADS,
                Axis.of("samples", sampleSize))
            .constant());
    return List.copyOf(specs);
  }

  private static Tensor positions(long seed, int count, int... shape) {
    Tensor tensor = Tensor.zeros(shape);
    UniformRandomProvider generator = Draws.generator(seed);
    for (int e = 0; e < tensor.size(); e++) {
      tensor.data()[e] = generator.nextInt(Math.max(1, count));
    }
    return tensor;
  }

  /// Factor on the dot products.
  double scaleFor(AttentionShape s) {
    return scale.orElse(Attention.defaultScale(s));
  }

  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    return new ExactTarget(
        shape, mask, inputs.get("q"), inputs.get("k"), inputs.get("v"), scaleFor(shape));
  }

  /// The squares of a problem.
  HyperSquares.Layout layout(AttentionShape s, Mask mask) {
    return HyperSquares.Layout.of(s.querySeqLen(), mask.isCausal(), minSeqLen, blockSize);
  }

  /// Pairs of one head: those of the squares, zero rows and all samples counted, and of the leaves.
  private double pairs(AttentionShape s, Mask mask) {
    HyperSquares.Layout layout = layout(s, mask);
    double pairs = layout.leafPairs();
    for (int level = 0; level < layout.levels(); level++) {
      double perQuery = blockSize + (double) layout.samples(level, sampleSize);
      pairs += layout.queries(level) * perQuery;
    }
    return pairs;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double hashes =
        layout(s, mask).levels() == 0 ? 0 : 4.0 * s.querySeqLen() * s.headDim() * lshNumProjs;
    double perPair = 2.0 * s.headDim() + 2.0 * s.valueDim() + 5;
    return new Cost(
        s.problems() * (hashes + pairs(s, mask) * perPair),
        2 * Cost.tensorBytes(s),
        HyperPlan.scratchBytes(this, s, mask, threads));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireAligned(request);
    return new HyperPlan(request, this, null);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireAligned(request);
    return new HyperGradient(request, this);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return HyperGradient.cost(this, s, mask, pairs(s, mask), threads);
  }

  private void requireAligned(PlanRequest request) {
    AttentionShape s = request.shape();
    Mask mask = request.mask();
    int offset = mask.isCausal() ? mask.causalOffset(s.querySeqLen(), s.keySeqLen()) : 0;
    if (offset != 0) {
      throw new IllegalArgumentException(
          "hyper_attention: causal offset must be 0, as halves are halves of queries and keys, but"
              + " was "
              + offset);
    }
  }
}
