// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.study;

import dev.crossover.attention.Attention;
import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.mechanism.Mechanism;

/// One token of decoding.
public record DecodeStudy() implements StudyKind {
  @Override
  public String phrase() {
    return "decoding";
  }

  @Override
  public String benchmark() {
    return "DecodeBenchmark";
  }

  @Override
  public boolean wholeSequence() {
    return false;
  }

  @Override
  public String refusal(String spec, Attention attention) {
    return attention.capabilities().decoding()
        ? ""
        : spec
            + ": decoding must not be asked for: "
            + Mechanism.Names.undecoded(attention.getClass());
  }

  /// A token sees every key, twice what a position sees on average under the causal mask; one that
  /// keeps nothing between tokens computes all positions.
  @Override
  public double flops(Attention attention, int n, double forward, double backward) {
    return attention instanceof Materialised ? forward : 2 * forward / Math.max(1, n);
  }

  @Override
  public String title() {
    return "Decoding, one token at a time";
  }

  @Override
  public String unit() {
    return "token";
  }

  @Override
  public String at() {
    return "context ";
  }

  @Override
  public String length() {
    return "context length";
  }

  @Override
  public String bytes() {
    return "state";
  }

  @Override
  public String memory() {
    return "state_bytes";
  }

  @Override
  public String doubt() {
    return "Errors of decoding are those of the causal forward pass over the whole context, whose"
        + " outputs decoding repeats token by token.";
  }
}
