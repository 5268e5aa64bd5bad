// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;

/// What the forward pass keeps for the backward pass: the state before each chunk and, where a rule
/// erases, the values as they were written; n/C · d · dv and n · dv numbers per head.
final class KeptStates {
  private final ChunkLayout layout;
  private final UpdateRule rule;
  private final int valueDim;
  private final int stateSize;

  /// States before chunks, `[heads, chunks, d, dv]`.
  final float[] states;

  /// Values as written, `[heads, n, dv]`, where they differ from β v.
  final float[] written;

  /// Outputs before they are completed, where their gradient needs them.
  final float[] unfinished;

  KeptStates(ChunkLayout layout, Scratch kept) {
    this.layout = layout;
    rule = layout.rule();
    AttentionShape s = layout.shape();
    valueDim = s.valueDim();
    stateSize = s.headDim() * valueDim;
    states = kept.floats((long) s.problems() * layout.chunks() * stateSize);
    long values = (long) s.problems() * s.querySeqLen() * valueDim;
    written = kept.floats(rule.erases() ? values : 0);
    unfinished = kept.floats(rule.readsUnfinished() ? values / rule.steps() : 0);
  }

  /// Where the state before a chunk lies, or the gradient of the state after it in an array of the
  /// same form.
  int stateAt(int problem, int t) {
    return (problem * layout.chunks() + t / layout.chunk()) * stateSize;
  }

  void before(RecurrentChunk chunk, int block, int problem, int t) {
    chunk.save(block, states, stateAt(problem, t));
  }

  void after(RecurrentChunk chunk, int block, int values, int outputs, float[] out) {
    if (rule.erases()) {
      chunk.saveWritten(block, written, values);
    }
    int column = block * layout.columns();
    int tokens = chunk.count() / rule.steps();
    for (int i = 0; i < tokens && rule.readsUnfinished(); i++) {
      int at = outputs + i * valueDim + column;
      System.arraycopy(out, at, unfinished, at, chunk.width(block));
    }
  }
}
