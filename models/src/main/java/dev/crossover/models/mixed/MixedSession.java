// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.mixed;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.TokenSession;
import java.util.ArrayList;
import java.util.List;

/// A session of every mechanism on its heads.
final class MixedSession extends TokenSession {
  private final List<Part> parts = new ArrayList<>();

  /// One mechanism's heads, with copies of one token of them.
  private record Part(
      List<Integer> heads, HeadCopies token, Tensors inputs, DecodeSession session) {}

  MixedSession(Mixed mixed, AttentionShape shape, int threads) {
    super(mixed, shape);
    mixed
        .groups(shape.numHeads())
        .forEach(
            (attention, heads) -> {
              AttentionShape own = Mixed.of(shape, heads.size());
              HeadCopies token =
                  new HeadCopies(own.withSeqLens(1, 1), heads, shape.numHeads(), new Scratch());
              parts.add(new Part(heads, token, token.qkv(), attention.decode(own, threads)));
            });
  }

  @Override
  protected void take(int t, int tokens) {
    for (int p = 0; p < parts.size(); p++) {
      Part part = parts.get(p);
      gather(part.token);
      part.session.step(part.inputs, part.token.output());
    }
  }

  private void gather(HeadCopies copies) {
    copies.gather(input("q"), input("k"), input("v"));
  }

  @Override
  protected boolean takeTogether(int tokens) {
    for (Part part : parts) {
      AttentionShape prefix = Mixed.of(shape, part.heads.size()).withSeqLens(tokens, tokens);
      HeadCopies copies = new HeadCopies(prefix, part.heads, shape.numHeads(), new Scratch());
      gather(copies);
      part.session.prefill(copies.qkv());
    }
    return true;
  }

  @Override
  protected void answer(float[] output) {
    for (int p = 0; p < parts.size(); p++) {
      HeadCopies token = parts.get(p).token;
      token.scatter(token.output(), output);
    }
  }

  @Override
  public long stateBytes() {
    long bytes = 0;
    for (Part part : parts) {
      bytes += part.session.stateBytes();
    }
    return bytes;
  }

  @Override
  protected void forget() {
    for (Part part : parts) {
      part.session.reset();
    }
  }
}
