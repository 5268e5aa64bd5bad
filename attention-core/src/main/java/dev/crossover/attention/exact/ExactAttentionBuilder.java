// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.AlibiForm;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.exact.ScoreOptions.QkNorm;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.exact.ScoreOptions.SinkPositions;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/// Describes an [ExactAttention]. Options compose; [ScoreOptions] has their order and equations.
public final class ExactAttentionBuilder {
  int heads;
  int keyValueHeads;
  int headDim;
  int valueDim;
  boolean causal = true;
  OptionalDouble scale = OptionalDouble.empty();
  Tensors parameters = Tensors.NONE;
  Storage storage = Storage.F32;
  int threads = 1;
  @Nullable Executor executor;

  private QkNorm norm = QkNorm.NONE;
  private double normEps = ScoreOptions.NONE.qkNormEps();
  private Rope rope = Rope.NONE;
  private double ropeBase = ScoreOptions.NONE.ropeBase();
  private OptionalInt ropeDim = OptionalInt.empty();
  private int ropeOffset;
  private double ropeConcentration = 1;
  private OptionalDouble softcap = OptionalDouble.empty();
  private Alibi alibi = Alibi.NONE;
  private AlibiForm alibiForm = AlibiForm.DISTANCE;
  private OptionalInt window = OptionalInt.empty();
  private int sinkTokens;
  private SinkPositions sinkPositions = SinkPositions.ORIGINAL;
  private boolean sinkLogit;
  private Gate gate = Gate.NONE;
  private boolean gatePerHead;

  ExactAttentionBuilder() {}

  /// Query heads; must be given.
  public ExactAttentionBuilder heads(int newHeads) {
    heads = newHeads;
    return this;
  }

  /// Key/value heads, a divisor of the query heads; as many as those when not given.
  public ExactAttentionBuilder keyValueHeads(int newKeyValueHeads) {
    requirePositive("keyValueHeads", newKeyValueHeads);
    keyValueHeads = newKeyValueHeads;
    return this;
  }

  /// Width of queries and keys; must be given.
  public ExactAttentionBuilder headDim(int newHeadDim) {
    headDim = newHeadDim;
    return this;
  }

  /// Width of values and outputs; that of the keys when not given.
  public ExactAttentionBuilder valueDim(int newValueDim) {
    requirePositive("valueDim", newValueDim);
    valueDim = newValueDim;
    return this;
  }

  /// Whether a query sees no later key; true when not given.
  public ExactAttentionBuilder causal(boolean newCausal) {
    causal = newCausal;
    return this;
  }

  /// Factor on the dot products; 1/√headDim when not given.
  public ExactAttentionBuilder scale(double newScale) {
    scale = OptionalDouble.of(newScale);
    return this;
  }

  /// Norm of query and key rows, before the rotation.
  public ExactAttentionBuilder qkNorm(QkNorm newNorm, double eps) {
    norm = newNorm;
    normEps = eps;
    return this;
  }

  /// What normed queries and keys are multiplied with, one number per feature.
  public ExactAttentionBuilder qkNormWeights(float[] ofQueries, float[] ofKeys) {
    return parameter("q_norm_weight", ofQueries).parameter("k_norm_weight", ofKeys);
  }

  /// Rotary positions.
  ///
  /// @param newRope which features make a pair
  /// @param base of the frequencies
  public ExactAttentionBuilder rope(Rope newRope, double base) {
    rope = newRope;
    ropeBase = base;
    return this;
  }

  /// Rotates the first features only; even.
  public ExactAttentionBuilder ropeDim(int newRopeDim) {
    ropeDim = OptionalInt.of(newRopeDim);
    return this;
  }

  /// Added to every position before it is rotated.
  public ExactAttentionBuilder ropeOffset(int newRopeOffset) {
    ropeOffset = newRopeOffset;
    return this;
  }

  /// Frequencies instead of those of a base, one per rotated pair, and a factor on rotated rows:
  /// for example YaRN's.
  public ExactAttentionBuilder ropeFrequencies(float[] frequencies, double concentration) {
    ropeConcentration = concentration;
    return parameter("rope_frequencies", frequencies);
  }

  /// Caps scaled scores a at cap · tanh(a / cap).
  public ExactAttentionBuilder softcap(double cap) {
    softcap = OptionalDouble.of(cap);
    return this;
  }

  /// ALiBi with the paper's slopes.
  public ExactAttentionBuilder alibi(AlibiForm form) {
    alibi = Alibi.GEOMETRIC;
    alibiForm = form;
    return this;
  }

  /// ALiBi with a slope per query head.
  public ExactAttentionBuilder alibi(AlibiForm form, float[] slopes) {
    alibi = Alibi.GIVEN;
    alibiForm = form;
    return parameter("alibi_slopes", slopes);
  }

  /// A query sees this many keys, its own included; not causal, as many on the other side, too.
  public ExactAttentionBuilder window(int size) {
    window = OptionalInt.of(size);
    return this;
  }

  /// The first keys are seen outside of the window, too.
  ///
  /// @param count how many
  /// @param positions at which position a query meets them
  public ExactAttentionBuilder sinkTokens(int count, SinkPositions positions) {
    sinkTokens = count;
    sinkPositions = positions;
    return this;
  }

  /// A logit per query head that takes part in the denominator only.
  public ExactAttentionBuilder sinkLogit(float[] perHead) {
    sinkLogit = true;
    return parameter("sink_logit", perHead);
  }

  /// Outputs are multiplied with the logistic function of `output_gate`, a tensor beside queries,
  /// keys and values.
  ///
  /// @param perHead one gate per head instead of one per feature
  public ExactAttentionBuilder outputGate(boolean perHead) {
    gate = Gate.SIGMOID;
    gatePerHead = perHead;
    return this;
  }

  /// How decoders store keys and values; as floats when not given.
  public ExactAttentionBuilder storage(Storage newStorage) {
    storage = newStorage;
    return this;
  }

  /// Number of threads, the caller's included; 1 when not given. It changes no bit.
  public ExactAttentionBuilder threads(int newThreads) {
    requirePositive("threads", newThreads);
    threads = newThreads;
    return this;
  }

  /// Where threads beyond the caller's run; a shared pool of daemon threads when not given.
  public ExactAttentionBuilder executor(Executor newExecutor) {
    executor = newExecutor;
    return this;
  }

  /// The attention described.
  ///
  /// @throws IllegalArgumentException naming what is missing or breaks a rule
  public ExactAttention build() {
    requirePositive("heads", heads);
    requirePositive("headDim", headDim);
    return new ExactAttention(this);
  }

  ScoreOptions options() {
    return new ScoreOptions(
        norm,
        normEps,
        rope,
        ropeBase,
        ropeDim,
        ropeOffset,
        ropeConcentration,
        softcap,
        alibi,
        alibiForm,
        window,
        sinkTokens,
        sinkPositions,
        sinkLogit,
        gate,
        gatePerHead);
  }

  private ExactAttentionBuilder parameter(String name, float[] values) {
    parameters = parameters.with(name, Tensor.of(values.clone(), values.length));
    return this;
  }

  private static void requirePositive(String name, int value) {
    if (value < 1) {
      throw new IllegalArgumentException(name + " must be >= 1, but was " + value);
    }
  }
}
