// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import java.util.OptionalDouble;
import java.util.OptionalInt;

/// What today's models do to the scores of exact attention, in this order:
///
/// ```
/// 1 norm      q, k ← N(q), N(k)                       rms, layer or l2, per head; times a weight
/// 2 rope      q_i ← c R(p_i + off) q_i,  k_j ← c R(j + off) k_j      the first rope_dim features
/// 3 score     a_ij = scale q_i · k_j
/// 4 softcap   a_ij ← cap tanh(a_ij / cap)
/// 5 bias      s_ij = a_ij + bias_ij − slope_h │p_i − j│              signed: + slope_h (j − p_i)
/// 6 allowed   causal; │p_i − j│ < window_size or j < sink_tokens; real keys
/// 7 weights   w_ij = exp s_ij / (Σ_j exp s_ij + exp sink_logit_h)
/// 8 out       o_i = Σ_j w_ij v_j;   out = o σ(output_gate)
/// ```
///
/// p_i = i + nk − nq, or i + the causal offset. With `sink_positions=cache` the position of a query
/// that meets a key j < sink_tokens is at most sink_tokens + window_size − 1 (StreamingLLM: places
/// in the cache instead of positions in the text).
///
/// ALiBi: Press et al., ICLR 2022, arXiv:2108.12409. Rotary positions: Su et al., arXiv:2104.09864.
/// Softcap: Gemma 2, arXiv:2408.00118. Query and key norms: Henry et al., arXiv:2010.04245;
/// Dehghani et al., arXiv:2302.05442. Sinks: Xiao et al., ICLR 2024, arXiv:2309.17453. Gate: Qiu et
/// al., arXiv:2505.06708.
///
/// @param qkNorm norm of queries and keys
/// @param qkNormEps inside the root, or lower bound of the length (l2)
/// @param rope pairs that are rotated together
/// @param ropeBase frequency base
/// @param ropeDim rotated features, even; all when absent
/// @param ropeOffset added to every position
/// @param ropeConcentration c
/// @param logitSoftcap cap; none when absent
/// @param alibi where slopes come from
/// @param alibiForm distance or signed
/// @param windowSize visible keys on each side, the own one included; all when absent
/// @param sinkTokens first keys visible outside the window, too
/// @param sinkPositions positions of queries that meet those
/// @param sinkLogit whether there is a logit in the denominator
/// @param outputGate what the gate goes through
/// @param gatePerHead whether there is one gate per head instead of one per feature
public record ScoreOptions(
    QkNorm qkNorm,
    double qkNormEps,
    Rope rope,
    double ropeBase,
    OptionalInt ropeDim,
    int ropeOffset,
    double ropeConcentration,
    OptionalDouble logitSoftcap,
    Alibi alibi,
    AlibiForm alibiForm,
    OptionalInt windowSize,
    int sinkTokens,
    SinkPositions sinkPositions,
    boolean sinkLogit,
    Gate outputGate,
    boolean gatePerHead) {

  /// Norm of queries and keys.
  public enum QkNorm {
    /// None.
    NONE,
    /// x / √(mean x² + eps).
    RMS,
    /// The same on x − mean x.
    LAYER,
    /// x / max(│x│, eps).
    L2
  }

  /// Pairs of features that are rotated together.
  public enum Rope {
    /// No rotation.
    NONE,
    /// (a, a + rope_dim / 2).
    HALF,
    /// (2a, 2a + 1).
    INTERLEAVED
  }

  /// Where ALiBi's slopes come from.
  public enum Alibi {
    /// There are none.
    NONE,
    /// From the number of heads.
    GEOMETRIC,
    /// From `alibi_slopes`.
    GIVEN
  }

  /// What a slope is multiplied with.
  public enum AlibiForm {
    /// Minus the distance.
    DISTANCE,
    /// j − p.
    SIGNED
  }

  /// Positions of queries that meet sink tokens.
  public enum SinkPositions {
    /// In the text.
    ORIGINAL,
    /// In a cache of sink_tokens + window_size keys.
    CACHE
  }

  /// What the output gate goes through.
  public enum Gate {
    /// There is none.
    NONE,
    /// The logistic function.
    SIGMOID
  }

  /// No option.
  public static final ScoreOptions NONE =
      new ScoreOptions(
          QkNorm.NONE,
          1e-6,
          Rope.NONE,
          10000,
          OptionalInt.empty(),
          0,
          1,
          OptionalDouble.empty(),
          Alibi.NONE,
          AlibiForm.DISTANCE,
          OptionalInt.empty(),
          0,
          SinkPositions.ORIGINAL,
          false,
          Gate.NONE,
          false);

  /// Validates the numbers.
  public ScoreOptions {
    require(qkNormEps >= 0, "qk_norm_eps must be >= 0", qkNormEps);
    require(ropeBase > 0, "rope_base must be > 0", ropeBase);
    int rotated = ropeDim.orElse(2);
    require(rotated >= 2 && rotated % 2 == 0, "rope_dim must be even and >= 2", rotated);
    require(
        Double.isFinite(ropeConcentration), "rope_concentration must be finite", ropeConcentration);
    double cap = logitSoftcap.orElse(1);
    require(cap > 0, "logit_softcap must be > 0", cap);
    require(windowSize.orElse(1) >= 1, "window_size must be >= 1", windowSize.orElse(1));
    require(sinkTokens >= 0, "sink_tokens must be >= 0", sinkTokens);
    require(
        sinkTokens == 0 || windowSize.isPresent(),
        "sink_tokens must be 0 without window_size",
        sinkTokens);
  }

  private static void require(boolean holds, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  /// Options that change rows of queries and keys only, one by one: a norm and a rotation.
  ///
  /// @param qkNorm norm
  /// @param qkNormEps inside the root, or lower bound of the length (l2)
  /// @param rope pairs that are rotated together
  /// @param ropeBase frequency base
  /// @param ropeDim rotated features, even; all when absent
  /// @return the options
  public static ScoreOptions ofRows(
      QkNorm qkNorm, double qkNormEps, Rope rope, double ropeBase, OptionalInt ropeDim) {
    return new ScoreOptions(
        qkNorm,
        qkNormEps,
        rope,
        ropeBase,
        ropeDim,
        NONE.ropeOffset,
        NONE.ropeConcentration,
        NONE.logitSoftcap,
        NONE.alibi,
        NONE.alibiForm,
        NONE.windowSize,
        NONE.sinkTokens,
        NONE.sinkPositions,
        NONE.sinkLogit,
        NONE.outputGate,
        NONE.gatePerHead);
  }

  /// Whether no option is on.
  public boolean isNone() {
    return qkNorm == QkNorm.NONE
        && rope == Rope.NONE
        && logitSoftcap.isEmpty()
        && alibi == Alibi.NONE
        && windowSize.isEmpty()
        && !sinkLogit
        && outputGate == Gate.NONE;
  }

  /// Rotated features of a head.
  ///
  /// @throws IllegalArgumentException if there are more than the head has
  int rotated(int headDim) {
    if (rope == Rope.NONE) {
      return 0;
    }
    int rotated = ropeDim.orElse(headDim);
    require(
        rotated <= headDim && rotated % 2 == 0,
        "rope_dim must be even and at most headDim (" + headDim + ")",
        rotated);
    return rotated;
  }

  /// Whether queries meet sink tokens at another position than other keys.
  boolean sinksApart() {
    return sinkPositions == SinkPositions.CACHE && sinkTokens > 0;
  }

  /// Position of a query that meets key j.
  int position(int position, int key) {
    return sinksApart() && key < sinkTokens
        ? Math.min(position, sinkTokens + windowSize.orElse(1) - 1)
        : position;
  }

  /// ALiBi's slopes for a number of heads: powers of 2^(−8 / heads), or for other numbers of heads
  /// than powers of two those of the next smaller one and every second of the next larger one.
  static float[] geometricSlopes(int heads) {
    float[] slopes = new float[heads];
    int power = Integer.highestOneBit(Math.max(1, heads));
    for (int h = 0; h < heads; h++) {
      double exponent =
          h < power ? -8.0 * (h + 1) / power : -8.0 * (2 * (h - power) + 1) / (2.0 * power);
      slopes[h] = (float) Math.pow(2, exponent);
    }
    return slopes;
  }
}
