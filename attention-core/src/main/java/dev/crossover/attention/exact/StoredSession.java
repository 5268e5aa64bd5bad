// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.store.Storage;

/// Decoding of [Tiled], with or without score options, over keys and values stored otherwise than
/// as floats.
final class StoredSession extends TokenSession {
  private final CachedSequences sequences;
  private final TokenRows rows = new TokenRows(shape.batchSize());

  StoredSession(
      Attention attention,
      AttentionShape shape,
      ScoreOptions options,
      double scale,
      Storage storage,
      int threads) {
    super(attention, shape);
    int positions = Math.max(1, shape.keySeqLen());
    Workers workers = new Workers(threads);
    sequences = new CachedSequences(options, scale, shape, storage, positions, workers);
  }

  @Override
  public long stateBytes() {
    return sequences.bytes();
  }

  /// One token: stored and answered in [#answer].
  @Override
  protected void take(int t, int tokens) {
    bind(tokens);
  }

  @Override
  protected boolean takeTogether(int tokens) {
    bind(tokens);
    sequences.run(null, null);
    return true;
  }

  private void bind(int tokens) {
    if (hasInput("bias")) {
      throw new IllegalArgumentException("tiled: decoding inputs must not contain bias, but did");
    }
    rows.equal(tokens);
    sequences.bind(rows, inputs());
  }

  @Override
  protected void answer(float[] output) {
    sequences.run(output, null);
  }

  @Override
  protected void forget() {
    for (int s = 0; s < sequences.count(); s++) {
      sequences.cache(s).truncate(0);
    }
  }
}
