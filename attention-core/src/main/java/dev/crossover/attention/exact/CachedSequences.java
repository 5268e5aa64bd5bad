// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.store.Storage;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Several sequences of different lengths, each with a [SequenceCache]: takes some new tokens of
/// each, and answers them, all in the same turns.
///
/// A turn takes up to 64 tokens of every sequence into the caches and then lets their queries meet
/// what is cached. With grouped storage, which decides by the newest token what is read encoded, a
/// turn is one token. Work is cut into (sequence, key/value head) pairs, then further into blocks
/// of 64 query rows, so that the bits do not depend on the number of threads.
final class CachedSequences {
  private static final int PIECE = 64;

  private final ScoreOptions options;
  private final AttentionShape shape;
  private final SequenceCache[] caches;
  private final CacheTile[] tiles;
  private final float[][] keyRow;
  private final Workers workers;
  private final boolean byToken;
  private final Workers.Task store = this::store;
  private final Workers.Task answer = this::answer;
  private final float[] slopes;
  private final int[] done;
  private final int[] piece;
  private final int[] surplus;
  private final int[] firstTask;
  private TokenRows rows;
  private BoundTensors tensors;
  private float @Nullable [] queryWeight;
  private float @Nullable [] keyWeight;
  private float @Nullable [] sink;
  private float[] q = new float[0];
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;

  /// @param shape sequences, heads and widths; its lengths do not matter
  /// @param reserved positions for which every sequence has room at once
  CachedSequences(
      ScoreOptions options,
      double scale,
      AttentionShape shape,
      Storage storage,
      int reserved,
      Workers workers) {
    this(options, scale, shape, storage, workers, new SequenceCache[shape.batchSize()]);
    AttentionShape one = shape.withBatchAndHeads(1, shape.numHeads());
    for (int s = 0; s < caches.length; s++) {
      caches[s] = new SequenceCache(options, storage, one, reserved);
    }
  }

  private CachedSequences(
      ScoreOptions options,
      double scale,
      AttentionShape shape,
      Storage storage,
      Workers workers,
      SequenceCache[] caches) {
    this.options = options;
    this.shape = shape;
    this.workers = workers;
    this.caches = caches;
    byToken = storage.kind() == Storage.Kind.GROUPED;
    tiles = new CacheTile[workers.threads()];
    keyRow = new float[workers.threads()][shape.headDim()];
    for (int w = 0; w < tiles.length; w++) {
      tiles[w] = new CacheTile(options, scale, shape);
    }
    slopes =
        options.alibi() == Alibi.GEOMETRIC
            ? ScoreOptions.geometricSlopes(shape.numHeads())
            : new float[shape.numHeads()];
    done = new int[caches.length];
    piece = new int[caches.length];
    surplus = new int[caches.length];
    firstTask = new int[caches.length + 1];
    rows = new TokenRows(caches.length);
    tensors = Nothing.BOUND;
  }

  /// Sequences that start as copies of some of these.
  ///
  /// @param which sequences of this, any of them any number of times
  CachedSequences fork(double scale, Storage storage, Workers newWorkers, int[] which) {
    SequenceCache[] copies = new SequenceCache[which.length];
    for (int s = 0; s < which.length; s++) {
      copies[s] = caches[which[s]].fork();
    }
    AttentionShape of = shape.withBatchAndHeads(which.length, shape.numHeads());
    return new CachedSequences(options, scale, of, storage, newWorkers, copies);
  }

  /// Number of sequences.
  int count() {
    return caches.length;
  }

  /// The cache of a sequence.
  SequenceCache cache(int sequence) {
    return caches[sequence];
  }

  /// Bytes of what is cached.
  long bytes() {
    long bytes = 0;
    for (SequenceCache cache : caches) {
      bytes += cache.store.bytes();
    }
    return bytes;
  }

  /// Takes the tensors of the next [#run]: `q`, `k`, `v`, and those of the options that are on.
  void bind(TokenRows newRows, BoundTensors newTensors) {
    rows = newRows;
    tensors = newTensors;
    q = tensors.get("q");
    k = tensors.get("k");
    v = tensors.get("v");
    queryWeight = tensors.has("q_norm_weight") ? tensors.get("q_norm_weight") : null;
    keyWeight = tensors.has("k_norm_weight") ? tensors.get("k_norm_weight") : null;
    sink = options.sinkLogit() ? tensors.get("sink_logit") : null;
    if (options.alibi() == Alibi.GIVEN) {
      System.arraycopy(tensors.get("alibi_slopes"), 0, slopes, 0, slopes.length);
    }
    if (tensors.has("rope_frequencies")) {
      for (CacheTile tile : tiles) {
        tile.transform().frequencies(tensors.get("rope_frequencies"));
      }
    }
  }

  /// Takes the bound tokens and, where there is a place for them, writes their outputs.
  ///
  /// @param newOut where outputs are written, laid out like the queries; null where none are wanted
  /// @param prompts where given, sequences whose outputs are not wanted
  void run(float @Nullable [] newOut, boolean @Nullable [] prompts) {
    out = newOut == null ? out : newOut;
    Arrays.fill(done, 0);
    boolean any = true;
    while (any) {
      any = false;
      int tasks = 0;
      for (int s = 0; s < caches.length; s++) {
        boolean answered = newOut != null && (prompts == null || !prompts[s]);
        int most = byToken && answered ? 1 : PIECE;
        piece[s] = Math.min(most, rows.count(s) - done[s]);
        surplus[s] = caches[s].surplus(piece[s]);
        any |= piece[s] > 0;
        firstTask[s] = tasks;
        int blocks = Math.ceilDiv(piece[s] * shape.groupSize(), CacheTile.ROWS);
        tasks += answered ? blocks * shape.numKeyValueHeads() : 0;
      }
      firstTask[caches.length] = tasks;
      if (any) {
        workers.run(caches.length * shape.numKeyValueHeads(), store);
        for (int s = 0; s < caches.length; s++) {
          caches[s].advance(surplus[s], piece[s]);
        }
        workers.run(tasks, answer);
        for (int s = 0; s < caches.length; s++) {
          done[s] += piece[s];
        }
      }
    }
    out = q;
  }

  /// Takes one turn's tokens of a sequence into one head's cache.
  private void store(int worker, int index) {
    int s = index / shape.numKeyValueHeads();
    int h = index % shape.numKeyValueHeads();
    SequenceCache cache = caches[s];
    int from = cache.firstDropped();
    cache.store.drop(h, from, from + surplus[s]);
    int heads = shape.numKeyValueHeads();
    float[] row = keyRow[worker];
    for (int i = 0; i < piece[s]; i++) {
      int ko = rows.at(s, done[s] + i, h, heads, shape.headDim());
      int vo = rows.at(s, done[s] + i, h, heads, shape.valueDim());
      tiles[worker].transform().forward(k, ko, keyWeight, cache.taken() + i, row, 0);
      cache.store.append(h, row, 0, v, vo);
    }
  }

  /// One block of query rows of one key/value head: first all of one query head, then of the next.
  private void answer(int worker, int index) {
    int s = 0;
    while (index >= firstTask[s + 1]) {
      s++;
    }
    int blocks = (firstTask[s + 1] - firstTask[s]) / shape.numKeyValueHeads();
    int keyHead = (index - firstTask[s]) / blocks;
    int first = (index - firstTask[s]) % blocks * CacheTile.ROWS;
    int last = Math.min(first + CacheTile.ROWS, piece[s] * shape.groupSize());
    int before = caches[s].taken() - piece[s];
    CacheTile tile = tiles[worker];
    tile.begin();
    for (int r = first; r < last; r++) {
      int h = keyHead * shape.groupSize() + r / piece[s];
      int i = r % piece[s];
      int qo = rows.at(s, done[s] + i, h, shape.numHeads(), shape.headDim());
      tile.add(q, qo, queryWeight, before + i, slopes[h]);
    }
    tile.attend(caches[s], keyHead);
    for (int r = first; r < last; r++) {
      int h = keyHead * shape.groupSize() + r / piece[s];
      int i = done[s] + r % piece[s];
      float logit = sink == null ? Float.NEGATIVE_INFINITY : sink[h];
      int oo = rows.at(s, i, h, shape.numHeads(), shape.valueDim());
      tile.finish(r - first, logit, out, oo);
      if (options.outputGate() != Gate.NONE) {
        int width = options.gatePerHead() ? 1 : shape.valueDim();
        int go = rows.at(s, i, h, shape.numHeads(), width);
        OutputGate.row(shape.valueDim(), tensors.get("output_gate"), go, width, out, oo);
      }
    }
  }

  /// Nothing is bound before the first call.
  private static final class Nothing implements BoundTensors {
    static final Nothing BOUND = new Nothing();

    @Override
    public boolean has(String name) {
      return false;
    }

    @Override
    public float[] get(String name) {
      throw new IllegalStateException(name + " is not bound");
    }
  }
}
