// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;

/// The feature maps φ_q and φ_k of one linear attention: what distinguishes one such mechanism from
/// another.
///
/// An instance belongs to one plan or session. Features of a row may depend on that row, its
/// position, head and batch entry, and on tensors bound by [#begin]; key features may also carry a
/// scale that runs along the sequence, see [Scaling]. Nothing here may allocate but the
/// constructor.

public interface FeatureMap {

  /// Makes the feature map of a plan or session.
  @FunctionalInterface
  interface Factory {
    /// @param site sizes, mask, threads and the allocator of all scratch
    FeatureMap create(FeatureSite site);
  }

  /// How the scale of key features runs along a sequence.
  ///
  /// With a scale, the feature vector of key j as seen by query i is
  /// `exp(reference_j − reference_i) · phi_j + keyShift`, where `phi_j` is what [#keys] wrote and
  /// `reference_i` belongs to the last key that query i may see.
  enum Scaling {
    /// No scale: all references are equal.
    NONE,
    /// `reference_j` is the maximum of a quantity over keys up to j, so that exponentials stay at
    /// most 1.
    MAXIMUM,
    /// `reference_j` falls from 0 by the logarithm of every key's decay factor: a forget gate.
    DECAY
  }

  /// Number of features M.
  int width();

  /// Takes the tensors of a call; runs before anything else of that call, on the caller's thread.
  default void begin(BoundTensors inputs) {}

  /// Number of tasks that [#prepare] must run before features are asked for; 0 by default.
  default int preparations() {
    return 0;
  }

  /// Reads ahead: runs task `task` of [#preparations()], in parallel with others.
  default void prepare(int worker, int task) {
    throw new IllegalStateException("task must be below 0, but was " + task);
  }

  /// Writes φ_q of each row.
  ///
  /// @param rows query rows
  /// @param phi target, row r at `at + r * width()`
  void queries(FeatureRows rows, float[] phi, int at);

  /// Writes φ_k of each row and, with a scale, each row's reference.
  ///
  /// @param rows key rows, none of them padding
  /// @param phi target, row r at `at + r * width()`
  void keys(FeatureRows rows, float[] phi, int at);

  /// Passes a padded key, whose features are 0, and may set its reference, which is otherwise that
  /// of the key before it; by default it does not.
  ///
  /// @param row the padded key's row, whose data must not be read
  default void padding(FeatureRows row) {}

  /// How the scale of key features runs; none by default.
  default Scaling scaling() {
    return Scaling.NONE;
  }

  /// Constant that is added to every feature of every key after scaling; 0 by default.
  default float keyShift() {
    return 0;
  }

  /// Whether [#weights] turns products q·k into φ_q(q)·φ_k(k) with less work than a product of
  /// features takes; no by default. Not for maps with a shift or with [Scaling#MAXIMUM].
  default boolean weighsProducts() {
    return false;
  }

  /// Turns products q·k into φ_q(q)·φ_k(k), in place.
  default void weights(int count, float[] products, int at) {
    throw new IllegalStateException("this map takes products of features");
  }

  /// Turns products q·k into the derivatives of φ_q(q)·φ_k(k) by them, in place.
  default void weightSlopes(int count, float[] products, int at) {
    throw new IllegalStateException("this map takes products of features");
  }

  /// Allocates what the methods below need; called once, when a plan with a backward pass is built.
  default void allocateGradients(Scratch scratch) {}

  /// Takes the places of the gradients of a backward pass; runs before anything else of it, on the
  /// caller's thread. What [#begin] took is still bound.
  ///
  /// @param gradients where to add the gradients that were asked for, by the inputs' names
  default void beginGradients(BoundTensors gradients) {}

  /// Floats that hold the gradients of the parameters of one head's φ_q; 0 by default.
  default int queryParameters() {
    return 0;
  }

  /// Floats that hold the gradients of the parameters of one head's φ_k; 0 by default.
  default int keyParameters() {
    return 0;
  }

  /// Turns the gradient of φ_q of each row into that of the row and of parameters.
  ///
  /// @param rows the rows, as [#queries] got them
  default void queryGradients(FeatureRows rows, FeatureGradients gradients) {
    throw new IllegalStateException("this map has no gradient");
  }

  /// Turns the gradient of φ_k of each row into that of the row and of parameters; the maxima of
  /// [Scaling#MAXIMUM] are constants.
  ///
  /// @param rows the rows, as [#keys] got them
  default void keyGradients(FeatureRows rows, FeatureGradients gradients) {
    throw new IllegalStateException("this map has no gradient");
  }

  /// Passes a padded key in the backward pass, for the gradient of its decay factor.
  default void paddingGradient(FeatureRows row, FeatureGradients gradients) {}

  /// Adds one query head's sum of [#queryParameters] to the gradients of the inputs.
  ///
  /// @param sums the sum over all rows of the head in all batch entries, from `at`
  default void addQueryParameters(int head, float[] sums, int at) {}

  /// Adds one key/value head's sum of [#keyParameters] to the gradients of the inputs.
  ///
  /// @param sums the sum over all rows of the head in all batch entries, from `at`
  default void addKeyParameters(int head, float[] sums, int at) {}
}
