// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.commons.rng.UniformRandomProvider;

/// A task: draws samples, knows its chance level, and brings a solver that needs no learning.
public interface Task {
  /// Label of a position where nothing is asked.
  int IGNORE = -100;

  /// How a model answers.
  enum Reading {
    /// At positions, by what it has read so far (decoder-only).
    POSITIONS,
    /// Once for the whole sequence (classifier with pooling).
    SEQUENCE,
    /// Every token again, from one vector that holds the whole sequence (auto-encoder).
    AUTOENCODER
  }

  /// A program that sees tokens, never labels, and says them.
  @FunctionalInterface
  interface Solver {
    /// The labels of one sample's tokens: [#IGNORE] where nothing is asked.
    ///
    /// @param tokens one sample
    /// @return as many labels as the sample has
    int[] solve(int[] tokens);
  }

  /// Number of different input tokens; tokens are 0 to vocab − 1.
  int vocab();

  /// Number of different labels; labels are 0 to classes − 1.
  int classes();

  /// Positions of a sample.
  int positions();

  /// How a model answers.
  default Reading reading() {
    return Reading.POSITIONS;
  }

  /// Labels of a sample: as many as positions, or 1 where the sequence is read as a whole.
  default int labels() {
    return reading() == Reading.SEQUENCE ? 1 : positions();
  }

  /// Most asked positions of a sample.
  default int asked() {
    return labels();
  }

  /// Token that fills the end of samples shorter than [#positions]; −1 where none is shorter.
  default int padding() {
    return -1;
  }

  /// Accuracy at asked positions of the best guess that looks at nothing.
  double chance();

  /// What tables of counts predict without a model, in bits per asked position, by the words that
  /// name a table; empty for tasks whose answers are determined.
  default Map<String, Double> floors() {
    return Map.of();
  }

  /// The same test samples, asked at every position, where the loss at a position tells how far
  /// context helps; empty where it would tell something else.
  default Optional<Task> askedEverywhere() {
    return Optional.empty();
  }

  /// Draws one sample.
  ///
  /// @param random the stream of this sample
  /// @param tokens receives [#positions] tokens
  /// @param labels receives [#labels] labels
  void draw(UniformRandomProvider random, int[] tokens, int[] labels);

  /// A solver of this task's samples.
  Solver solver();

  /// A solver of samples from elsewhere, which may come with tables of their own.
  ///
  /// @param tables numbers by name, row-major: `map` (memorisation), `table` (word_problem)
  default Solver solver(Map<String, int[]> tables) {
    return solver();
  }

  /// What is drawn for training, where that differs from what is drawn for tests.
  default Task training() {
    return this;
  }

  /// Lengths beyond its own at which a trained model is worth testing.
  default List<Integer> longer() {
    return List.of();
  }

  /// The same task at another length.
  ///
  /// @throws IllegalArgumentException if it has none or the length does not fit
  default Task atLength(int n) {
    throw new IllegalArgumentException(
        Tasks.nameOf(this) + ": length must be the task's own, but was " + n);
  }
}
