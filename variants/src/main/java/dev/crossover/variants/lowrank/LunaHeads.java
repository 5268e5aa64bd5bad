// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.variants.lowrank.Luna.Activation;
import java.util.Arrays;

/// A plan that runs the causal form of [Luna], head by head and chunk by chunk: of the mechanism,
/// and of the layer around it, which makes a chunk's rows in passing.
public abstract class LunaHeads extends AttentionPlan {
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int heads;
  private final int dv;
  private final int pitch;
  private final LunaChunk[] chunks;
  private final Workers.Task causalHead = this::causalHead;

  /// @param request the plan's request; without causal order nothing is allocated
  /// @param activation ω
  /// @param l length of the packed sequence
  /// @param heads number of heads
  /// @param d width of a head's queries and keys
  /// @param dv width of a head's values
  /// @param pitch from one row of a head's output to the next
  protected LunaHeads(
      PlanRequest request, Activation activation, int l, int heads, int d, int dv, int pitch) {
    super(request);
    this.heads = heads;
    this.dv = dv;
    this.pitch = pitch;
    chunks = new LunaChunk[mask.isCausal() ? threads() : 0];
    for (int t = 0; t < chunks.length; t++) {
      chunks[t] = new LunaChunk(scratch, activation, l, d, dv);
    }
  }

  /// Gives a chunk the pack of a head by [LunaChunk#begin].
  protected abstract void begin(LunaChunk chunk, int batch, int h);

  /// Fills key, value and packKey of a chunk with the rows of some tokens.
  protected abstract void takeTokens(LunaChunk chunk, int batch, int h, int from, int tokens);

  /// Fills query of a chunk with the rows of some queries.
  protected abstract void takeQueries(LunaChunk chunk, int batch, int h, int first, int count);

  /// Where the output row of a query begins.
  protected abstract int outputAt(int batch, int h, int i);

  /// Writes the rows of all heads.
  protected final void runHeads() {
    workers.run(shape.batchSize() * heads, causalHead);
  }

  /// The causal form of one head, chunk by chunk of context tokens.
  private void causalHead(int worker, int index) {
    LunaChunk chunk = chunks[worker];
    int batch = index / heads;
    int h = index % heads;
    begin(chunk, batch, h);
    int i = 0;
    while (i < nq && mask.causalLimit(i, nq, nk) == 0) {
      int o = outputAt(batch, h, i);
      Arrays.fill(out, o, o + dv, 0);
      i++;
    }
    for (int from = 0; from < nk; from += LunaChunk.ROWS) {
      int tokens = Math.min(LunaChunk.ROWS, nk - from);
      takeTokens(chunk, batch, h, from, tokens);
      weigh(chunk, batch, from, tokens);
      while (i < nq && mask.causalLimit(i, nq, nk) <= from + tokens) {
        int first = i;
        while (i < nq
            && i - first < LunaChunk.ROWS
            && mask.causalLimit(i, nq, nk) <= from + tokens) {
          i++;
        }
        takeQueries(chunk, batch, h, first, i - first);
        chunk.answer(
            i - first,
            mask.causalLimit(first, nq, nk) - from,
            tokens,
            out,
            outputAt(batch, h, first),
            pitch);
      }
      chunk.absorb(tokens);
    }
  }

  private void weigh(LunaChunk chunk, int batch, int from, int tokens) {
    chunk.weigh(tokens);
    for (int r = 0; mask.hasKeyPadding() && r < tokens; r++) {
      if (!mask.isRealKey(batch, from + r)) {
        chunk.hide(r, tokens);
      }
    }
  }
}
