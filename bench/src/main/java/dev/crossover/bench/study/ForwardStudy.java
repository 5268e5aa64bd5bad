// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.study;

/// One forward pass over the whole sequence.
public record ForwardStudy() implements StudyKind {
  @Override
  public String phrase() {
    return "a forward pass";
  }

  @Override
  public String benchmark() {
    return "ForwardBenchmark";
  }

  @Override
  public String title() {
    return "Forward pass";
  }

  @Override
  public String unit() {
    return "call";
  }

  @Override
  public String timeTitle() {
    return "Time against sequence length";
  }
}
