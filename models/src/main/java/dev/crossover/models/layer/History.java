// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Scratch;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;

/// Decoding: the rows of the last tokens of every sequence, for operations that look back. The row
/// at hand is written first, then earlier ones are read by their distance.
abstract class History extends Operation implements Decoding.State {
  final int width;
  private final int depth;
  private final float[] rows;
  private final Decoding decoding;

  /// @param depth number of rows kept, the one at hand included
  History(Graph graph, Value y, Value x, int depth, Decoding decoding) {
    super(graph, y, List.of(x));
    this.width = x.width();
    this.depth = depth;
    this.decoding = decoding;
    Scratch scratch = graph.layout();
    rows = scratch.floats((long) x.rows().capacity() * depth * width);
    decoding.keep(this);
  }

  /// The rows of all sequences.
  final float[] rows() {
    return rows;
  }

  /// Where the row of `back` tokens ago lies, or −1 before the start.
  final int at(int sequence, int back) {
    int t = decoding.position() - back;
    return t < 0 ? -1 : (sequence * depth + t % depth) * width;
  }

  /// Number of tokens before the one at hand.
  final int position() {
    return decoding.position();
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] x = input(0).data();
    for (int r = from; r < to; r++) {
      System.arraycopy(x, r * width, rows, at(r, 0), width);
      row(r, output().data());
    }
  }

  /// Writes the output row of a sequence.
  abstract void row(int sequence, float[] y);

  @Override
  public void advance() {
    // the row at hand is in place already
  }

  @Override
  public void reset() {
    Arrays.fill(rows, 0);
  }

  @Override
  public long bytes() {
    long kept = Math.min(depth - 1L, decoding.position());
    return Float.BYTES * kept * width * output().rows().capacity();
  }
}
