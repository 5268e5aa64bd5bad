// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.study;

import dev.crossover.attention.Attention;
import dev.crossover.models.layer.LayerCatalogue;

/// Everything that is known of a study: what is timed and by which benchmark, its counted work,
/// which mechanisms refuse it, and the words of reports for its quantities. A new one is a class
/// like these, and a constant of `Study`.
public interface StudyKind {

  /// What is timed, in a sentence.
  String phrase();

  /// Whether a call is over the whole sequence, so that its work is counted and its mask is a
  /// choice; a token of decoding is not, and is causal.
  default boolean wholeSequence() {
    return true;
  }

  /// Whether a call computes gradients, too.
  default boolean differentiates() {
    return false;
  }

  /// Simple name of the benchmark among those of `dev.crossover.bench.jmh`.
  String benchmark();

  /// Why a mechanism cannot run this study at all, or an empty text.
  ///
  /// @param spec the mechanism as it was named
  /// @param attention the mechanism
  default String refusal(String spec, Attention attention) {
    if (LayerCatalogue.isCached(attention)) {
      return spec + ": store and cache must be asked of a decode study";
    }
    if (differentiates() && !attention.capabilities().gradients()) {
      return spec + ": training must not be asked for: it has no gradients here";
    }
    return "";
  }

  /// Counted operations of one call.
  ///
  /// @param attention the mechanism
  /// @param n query positions
  /// @param forward those of a forward pass
  /// @param backward those of a backward pass; 0 where none is timed, or none can be
  default double flops(Attention attention, int n, double forward, double backward) {
    return forward + backward;
  }

  /// What was timed, for a heading.
  String title();

  /// What one sample of time is of.
  String unit();

  /// Heading of a chart of times.
  default String timeTitle() {
    return "Time per " + unit() + " against " + length().replace(" n", "");
  }

  /// What comes before a length in a sentence.
  default String at() {
    return "n = ";
  }

  /// What the length is called on an axis.
  default String length() {
    return "sequence length n";
  }

  /// What an error is called after its number.
  default String error() {
    return "error";
  }

  /// Heading of a chart of errors.
  default String errorTitle() {
    return "Error against exact attention on the same tensors";
  }

  /// What the errors are, in a formula.
  default String errorHow() {
    return "relative Frobenius ‖O − O*‖ / ‖O*‖";
  }

  /// What its memory is called.
  default String bytes() {
    return "counted memory";
  }

  /// Key of the metric of its memory, in which mechanisms are compared.
  default String memory() {
    return "counted_bytes";
  }

  /// A reason to doubt its numbers that no other study has; empty where there is none.
  default String doubt() {
    return "";
  }
}
