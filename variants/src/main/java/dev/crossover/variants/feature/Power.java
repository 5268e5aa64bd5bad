// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.KEY_VALUE_HEADS;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
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
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Workers;
import dev.crossover.attention.linear.Denominator;
import dev.crossover.attention.linear.LinearAttentionPlan;
import dev.crossover.attention.linear.LinearCost;
import dev.crossover.attention.linear.LinearDecodeSession;
import dev.crossover.attention.linear.LinearDifferentiablePlan;
import dev.crossover.attention.linear.LinearForm;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Power attention: exp(s) is replaced by an even power of s, which is a product of features, all
/// monomials of that degree; keys may fade.
///
/// Buckman, Gelada, Zhang: "Symmetric Power Transformers", Manifest AI, 2024; Gelada et al.:
/// "Scaling Context Requires Rethinking Attention", 2025, arXiv:2507.04239; code in
/// m-a-n-i-f-e-s-t/retention, _attention/reference.py.
///
/// ```
/// a_ij  = |scale q_i·k_j| + score_eps,   c_i = Σ_{t ≤ i} log_decay_t
/// w_ij  = a_ij^p exp(c_i − c_j)                                        j ≤ i
/// out_i = Σ_j w_ij v_j / (Σ_j w_ij + eps max_j w_ij)
/// ```
///
/// and with `score_eps = eps = 0`, the paper's form and the default, as a recurrence over φ(x), the
/// monomials of degree p times the roots of their multinomial numbers, `φ(x)·φ(y) = (x·y)^p`:
///
/// ```
/// S_t = exp(log_decay_t) S_{t−1} + φ(k_t) v_tᵀ,   z_t likewise with φ(k_t)
/// out_t = S_tᵀ φ(q_t) / (z_t·φ(q_t))
/// ```
///
/// | paper | here        | shape                                           |
/// |-------|-------------|-------------------------------------------------|
/// | Q     | `q`         | `[batch, numHeads, n, d]`                       |
/// | K     | `k`         | `[batch, numKeyValueHeads, n, d]`               |
/// | V     | `v`         | `[batch, numKeyValueHeads, n, dv]`              |
/// | log γ | `log_decay` | `[batch, numKeyValueHeads, n]`, ≤ 0, optional   |
///
/// Up to `switch_over_seq_len` positions, and at any length where an eps is not 0, the quadratic
/// form runs: time `n²(d + dv + 3)` per head. Beyond, sums over features run in chunks of 64 rows:
/// time `4·n·D·dv`, memory D·(dv + 1) with D = binomial(d + p − 1, p): 2080 at d = 64, p = 2;
/// 766480 at p = 4. Both take weights relative to the decay of the last key a row sees; a row whose
/// weights all vanish in float32 relative to it is zero. Sums of powers lose digits as p grows.
/// Decoding keeps keys and values where a session of that many positions stays below the
/// switch-over, and the sums otherwise.
///
/// Causal, any key padding: a masked key is not seen, the decay goes on; a row without keys is
/// zero. The sign of q·k is lost: q and −q attend alike. As p grows, the key with the largest
/// |q·k|.
///
/// Backward, with g the gradient of `out`, o the output, z the denominator at eps 0:
///
/// ```
/// dl_ij = w_ij (g_i·v_j − g_i·o_i) / z_i
/// da_ij = p dl_ij / (q_i·k_j),   dq_i = Σ_j da_ij k_j,   dk_j = Σ_i da_ij q_i,   dv_j = Σ_i w_ij g_i / z_i
/// dlog_decay_t = −Σ_{j ≥ t} Σ_i dl_ij                 the sums over a row's dl are zero
/// ```
///
/// written with a^(p − 1), so that nothing is divided by a score, and in the recurrence as in
/// [LinearTransformer]. With eps the largest weight's share is part of the graph; the authors' code
/// takes the maximum for a constant, which misses a term of relative size eps.
///
/// The paper normalises the output by a layer norm without parameters instead of the sum of
/// weights; that norm belongs to the layer, not here. The code has score_eps 1e-7 and eps 1e-6, and
/// relative to other maxima in its chunked form.
///
/// @param degree the even power p
/// @param scoreEps added to |scale q·k|
/// @param eps added to the sum of weights, relative to the largest of them
/// @param scale factor on q·k; absent: 1/√d
/// @param switchOverSeqLen length up to which the quadratic form runs; absent: 2 D
@Mechanism(
    name = "power",
    title = "Power attention",
    paper = "Gelada et al., Scaling Context Requires Rethinking Attention, 2025",
    arxiv = "2507.04239",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; quadratic and recurrent form are equal at eps = 0",
    time = "4 n D d",
    memory = "D d",
    padding = "writes nothing; the decay goes on",
    exponent = 1,
    differences =
        @Mechanism.Difference(
            what = "guards against vanishing sums",
            paper = "none",
            code = "1e-7 added to scores, 1e-6 of the largest weight to the sum",
            paperOption = "",
            codeOption = "score_eps=1e-7,eps=1e-6",
            defaultIs = "the paper's: only without them a state of monomials gives the same",
            test = "PowerTest.codeGuardsShrinkOutputs"))
public record Power(
    @Parameter(value = "even power, >= 2", defaultValue = "2") int degree,
    @Parameter(value = "added to |scale q.k|, >= 0", defaultValue = "0") double scoreEps,
    @Parameter(value = "added to the sum, relative to the largest weight, >= 0", defaultValue = "0")
        double eps,
    @Parameter(value = "factor on q.k; absent: 1/sqrt(d)", defaultValue = "") OptionalDouble scale,
    @Parameter(
            value = "length up to which the quadratic form runs, >= 0; absent: 2 D",
            defaultValue = "")
        OptionalInt switchOverSeqLen)
    implements CachingAttention {

  /// Validates the numbers.
  public Power {
    if (degree < 2 || degree % 2 != 0) {
      throw new IllegalArgumentException("degree must be even and >= 2, but was " + degree);
    }
    requireGuard("score_eps", scoreEps);
    requireGuard("eps", eps);
    if (switchOverSeqLen.isPresent() && switchOverSeqLen.getAsInt() < 0) {
      throw new IllegalArgumentException(
          "switch_over_seq_len must be >= 0, but was " + switchOverSeqLen.getAsInt());
    }
  }

  /// Squares, without guards.
  public Power() {
    this(2, 0, 0, OptionalDouble.empty(), OptionalInt.empty());
  }

  private static void requireGuard(String name, double value) {
    if (!(value >= 0) || Double.isInfinite(value)) {
      throw new IllegalArgumentException(name + " must be >= 0, but was " + value);
    }
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .keyPadding(Padding.ANY)
        .groupedQueries(true)
        .valueDim(true)
        .gradients(true)
        .decoding(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.optional(
            "log_decay",
            "log decay, <= 0, log sigmoid(N(0,1)) / 16",
            Power::decays,
            s,
            BATCH,
            KEY_VALUE_HEADS,
            KEY));
    return List.copyOf(specs);
  }

  private static Tensor decays(long seed, int... shape) {
    Tensor tensor = Draws.gaussian(seed, shape);
    for (int e = 0; e < tensor.size(); e++) {
      tensor.data()[e] = (float) (-Math.log1p(Math.exp(-tensor.data()[e])) / 16);
    }
    return tensor;
  }

  /// The factor on q·k.
  double scaleOf(AttentionShape s) {
    return scale.orElse(Attention.defaultScale(s));
  }

  /// Whether the quadratic form runs at a length.
  private boolean quadratic(AttentionShape s) {
    double limit =
        switchOverSeqLen.isPresent()
            ? switchOverSeqLen.getAsInt()
            : 2 * SymmetricPower.monomials(s.headDim(), degree);
    return eps > 0 || scoreEps > 0 || s.keySeqLen() <= limit;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    if (quadratic(s)) {
      Scratch scratch = Scratch.sizing();
      new PowerForward(this, s, mask, new Workers(threads), scratch, null);
      double pair = 2.0 * s.headDim() + 2.0 * s.valueDim() + weight() + 3;
      double rows = (double) s.problems() * s.querySeqLen() * (s.valueDim() + 2);
      double flops = s.problems() * Cost.pairs(s, mask) * pair + rows;
      return new Cost(flops, Cost.tensorBytes(s), scratch.bytes());
    }
    int d = s.headDim();
    return linear(s, mask, threads)
        .total(
            SymmetricPower.work(d, degree),
            SymmetricPower.work(d, degree),
            0,
            SymmetricPower.scratchBytes(d, degree, threads));
  }

  private LinearCost linear(AttentionShape s, Mask mask, int threads) {
    return new LinearCost(s, mask, threads, SymmetricPower.width(s.headDim(), degree))
        .running(false, true)
        .weighingProducts(weight());
  }

  /// Multiplications that make a weight of a score, its factor included.
  private double weight() {
    return 1 + Integer.bitCount(degree) - 1 + 31 - Integer.numberOfLeadingZeros(degree);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    int d = s.headDim();
    if (quadratic(s)) {
      Scratch scratch = Scratch.sizing();
      Scratch kept = Scratch.sizing();
      new PowerDifferentiable.Passes(this, s, mask, new Workers(threads), scratch, kept);
      double formed = 2.0 * d + 2.0 * s.valueDim() + 2 * weight() + 9;
      double pair = formed * (PowerDifferentiable.Passes.whole(s) ? 1 : 2);
      pair += 4.0 * d + 2.0 * s.valueDim();
      double flops = s.problems() * Cost.pairs(s, mask) * pair;
      flops += 2.0 * s.problems() * s.querySeqLen() * s.valueDim();
      return new GradientCost(flops, kept.bytes(), scratch.bytes());
    }
    double row = 3 * SymmetricPower.work(d, degree) + SymmetricPower.width(d, degree);
    long scratch =
        SymmetricPower.scratchBytes(d, degree, threads)
            + SymmetricPower.gradientBytes(d, degree, threads);
    return linear(s, mask, threads).gradient(row, row, scratch, LinearCost.Parameters.NONE);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireAligned(request);
    return quadratic(request.shape())
        ? new PowerPlan(request, this)
        : new LinearAttentionPlan(request, form());
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireAligned(request);
    return quadratic(request.shape())
        ? new PowerDifferentiable(request, this)
        : new LinearDifferentiablePlan(request, form());
  }

  private static void requireAligned(PlanRequest request) {
    int n = request.shape().querySeqLen();
    int offset = request.mask().causalOffset(n, n);
    if (offset != 0) {
      throw new IllegalArgumentException("power: causal offset must be 0, but was " + offset);
    }
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    if (!cache.changesOutputs()) {
      return quadratic(shape)
          ? new PowerSession(this, shape, threads)
          : new LinearDecodeSession(this, shape, threads, form());
    }
    if (!quadratic(shape)) {
      throw new IllegalArgumentException(
          "power: store and cache must not be given where keySeqLen ("
              + shape.keySeqLen()
              + ") is beyond switch_over_seq_len, because a state replaces the cache, but were "
              + cache.toMap());
    }
    return new PowerCompressed(this, shape, threads, cache);
  }

  private LinearForm form() {
    return new LinearForm(site -> new SymmetricPower(this, site), Denominator.PLAIN);
  }
}
