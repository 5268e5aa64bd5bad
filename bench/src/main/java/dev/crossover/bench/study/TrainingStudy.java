// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.study;

/// One forward and one backward pass.
public record TrainingStudy() implements StudyKind {
  @Override
  public String phrase() {
    return "a training step";
  }

  @Override
  public String benchmark() {
    return "TrainingBenchmark";
  }

  @Override
  public boolean differentiates() {
    return true;
  }

  @Override
  public String title() {
    return "Training step, forward and backward pass";
  }

  @Override
  public String unit() {
    return "training step";
  }

  @Override
  public String error() {
    return "gradient error";
  }

  @Override
  public String errorTitle() {
    return "Error of the gradients against those of exact attention";
  }

  @Override
  public String errorHow() {
    return "largest of the relative Frobenius errors ‖∂ − ∂*‖ / ‖∂*‖ of ∂q, ∂k and ∂v";
  }

  @Override
  public String doubt() {
    return "Errors of training are those of one backward pass with a random gradient of the output,"
        + " at some positions where sequences are long: an estimate of the error from all. A small"
        + " one is no promise that a model trains as well, a large one none that it does not.";
  }
}
