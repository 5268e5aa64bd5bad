// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Scratch;
import dev.crossover.models.graph.Rows;
import java.util.Arrays;

/// The labelled rows of a batch and their labels, set anew for every batch.
public final class Selection {
  private final Rows rows;
  private final int[] sources;
  private final int[] positions;
  private final int[] labels;

  /// @param scratch allocator
  /// @param all number of rows of the batch
  /// @param most the largest number of labelled ones
  public Selection(Scratch scratch, int all, int most) {
    rows = new Rows(most, 1);
    sources = scratch.ints(most);
    labels = scratch.ints(most);
    positions = scratch.ints(all);
    rows.use(0);
  }

  /// Takes the labels of a batch.
  ///
  /// @param given a label per row
  /// @param ignored the label of rows that do not count
  /// @param classes labels are from 0 to this, exclusive
  public void set(int[] given, int ignored, int classes) {
    if (given.length != positions.length) {
      throw new IllegalArgumentException(
          "labels must cover " + positions.length + " rows, but was " + given.length);
    }
    Arrays.fill(positions, -1);
    int count = 0;
    for (int r = 0; r < given.length; r++) {
      if (given[r] == ignored) {
        continue;
      }
      if (given[r] < 0 || given[r] >= classes) {
        throw new IllegalArgumentException(
            "labels must be from 0 to " + (classes - 1) + ", but was " + given[r]);
      }
      if (count == sources.length) {
        throw new IllegalArgumentException(
            "labelled rows must be at most " + sources.length + ", but were more");
      }
      positions[r] = count;
      sources[count] = r;
      labels[count] = given[r];
      count++;
    }
    rows.use(count);
  }

  /// The labelled rows, as many as the last batch had.
  public Rows rows() {
    return rows;
  }

  /// The row of the batch that a labelled row comes from.
  int source(int i) {
    return sources[i];
  }

  /// The number of a row among the labelled ones, or −1.
  int position(int row) {
    return positions[row];
  }

  /// The label of a labelled row.
  int label(int i) {
    return labels[i];
  }
}
