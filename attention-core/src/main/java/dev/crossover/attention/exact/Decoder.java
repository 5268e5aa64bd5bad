// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Causal attention over some sequences that grow: new tokens in, their outputs out.
///
/// Sequences may be of different lengths and take different numbers of tokens in one call, none
/// included. The first tokens of a sequence, if there is more than one, are a prompt: their outputs
/// are computed by the whole-sequence kernels from the numbers given, then they are stored. Later
/// tokens, one or many, see what is stored, their own rows included, so that with a store that
/// rounds, outputs depend on how it rounds, and with one that does not, token by token, in pieces
/// and at once agree.
///
/// A call with one token per sequence allocates nothing while there is room. One caller at a time.
public final class Decoder {
  private final ExactAttention attention;
  private final CachedSequences sequences;
  private final int count;
  private final TokenRows rows;
  private final boolean[] prompts;
  private final List<String> names;
  private final Bound bound = new Bound();
  private @Nullable AttentionPlan promptPlan;
  private int promptLength;
  private Tensor last = Tensor.zeros(0);

  Decoder(ExactAttention attention, CachedSequences sequences) {
    this.attention = attention;
    this.sequences = sequences;
    count = sequences.count();
    rows = new TokenRows(count);
    prompts = new boolean[count];
    names = attention.rowNames();
    bound.parameters = attention.withParameters(Tensors.NONE);
  }

  /// Takes as many tokens of every sequence and returns their outputs.
  ///
  /// @param queries `[sequences, heads, tokens, headDim]`
  /// @param keys `[sequences, keyValueHeads, tokens, headDim]`
  /// @param values `[sequences, keyValueHeads, tokens, valueDim]`
  /// @return `[sequences, heads, tokens, valueDim]`, the decoder's own, written anew by the next
  ///     call of this method
  public Tensor append(Tensor queries, Tensor keys, Tensor values) {
    int tokens = queries.rank() == 4 ? queries.extent(2) : 0;
    int heads = attention.heads();
    if (last.rank() != 4 || last.extent(2) != tokens) {
      last = Tensor.zeros(count, heads, tokens, attention.valueDim());
    }
    bound.set(queries, keys, values, null);
    equal(last);
    return last;
  }

  /// Takes as many tokens of every sequence and writes their outputs.
  ///
  /// @param tensors `q`, `k`, `v` as in [#append(Tensor, Tensor, Tensor)], and `output_gate`
  ///     `[sequences, heads, tokens, valueDim or 1]` where there is one
  /// @param out `[sequences, heads, tokens, valueDim]`
  public void append(Tensors tensors, Tensor out) {
    bind(tensors);
    equal(out);
  }

  /// Takes so many tokens of each sequence and writes their outputs.
  ///
  /// @param counts new tokens of every sequence, each at least 0
  /// @param tensors packed, the tokens of one sequence after those of the other: `q` `[all tokens,
  ///     heads, headDim]`, `k` and `v` with key/value heads, `output_gate` where there is one
  /// @param out `[all tokens, heads, valueDim]`
  public void append(int[] counts, Tensors tensors, Tensor out) {
    if (counts.length != count) {
      throw new IllegalArgumentException(
          "counts must have one number per sequence (" + count + "), but has " + counts.length);
    }
    int all = 0;
    for (int tokens : counts) {
      if (tokens < 0) {
        throw new IllegalArgumentException("counts must be >= 0, but was " + tokens);
      }
      all = Math.addExact(all, tokens);
    }
    bind(tensors);
    rows.packed(counts);
    for (int i = 0; i < names.size(); i++) {
      requirePacked(names.get(i), bound.tensor(i), all);
    }
    requirePacked("out", out, all);
    run(out);
  }

  private void bind(Tensors tensors) {
    if (tensors.size() != names.size()) {
      throw new IllegalArgumentException(
          "tensors must be " + names + ", but were " + tensors.names());
    }
    bound.set(
        tensors.get("q"),
        tensors.get("k"),
        tensors.get("v"),
        attention.gated() ? tensors.get("output_gate") : null);
  }

  private void equal(Tensor out) {
    if (bound.gate == null && attention.gated()) {
      throw new IllegalArgumentException("output_gate must be given, but was absent");
    }
    Tensor queries = bound.q;
    int tokens = queries.rank() == 4 ? queries.extent(2) : 0;
    for (int i = 0; i < names.size(); i++) {
      requireRows(names.get(i), bound.tensor(i), tokens);
    }
    requireRows("out", out, tokens);
    rows.equal(tokens);
    run(out);
  }

  private void requirePacked(String name, Tensor tensor, int tokens) {
    require(
        name,
        tensor,
        tensor.rank() == 3
            && tensor.extent(0) == tokens
            && tensor.extent(1) == attention.heads(name)
            && tensor.extent(2) == attention.width(name));
  }

  private void requireRows(String name, Tensor tensor, int tokens) {
    require(
        name,
        tensor,
        tensor.rank() == 4
            && tensor.extent(0) == count
            && tensor.extent(1) == attention.heads(name)
            && tensor.extent(2) == tokens
            && tensor.extent(3) == attention.width(name));
  }

  private void require(String name, Tensor tensor, boolean fits) {
    if (!fits) {
      throw new IllegalArgumentException(
          name
              + " must fit "
              + count
              + " sequences, "
              + attention.heads()
              + " query heads, "
              + attention.keyValueHeads()
              + " key/value heads, widths "
              + attention.headDim()
              + " and "
              + attention.valueDim()
              + " and the tokens of q, but was "
              + tensor);
    }
  }

  private void run(Tensor out) {
    for (int i = 0; i < names.size(); i++) {
      if (bound.tensor(i).data() == out.data() && out.size() > 0) {
        throw new IllegalArgumentException(
            "out must not share storage with an input, but was that of " + names.get(i));
      }
    }
    for (int s = 0; s < count; s++) {
      long longest = (long) position(s) + rows.count(s);
      if (longest > Integer.MAX_VALUE - 8) {
        throw new IllegalStateException(
            "positions must be at most " + (Integer.MAX_VALUE - 8) + ", but were " + longest);
      }
      prompts[s] = position(s) == 0 && rows.count(s) > 1;
      if (prompts[s]) {
        prompt(s, out);
      }
    }
    sequences.bind(rows, bound);
    sequences.run(out.data(), prompts);
  }

  /// The first tokens of a sequence, by the whole-sequence plan.
  private void prompt(int s, Tensor out) {
    int tokens = rows.count(s);
    AttentionPlan plan = promptPlan;
    if (plan == null || promptLength != tokens) {
      plan = attention.promptPlan(tokens);
      promptPlan = plan;
      promptLength = tokens;
    }
    if (rows.isWholeBlock()) {
      plan.forward(bound.whole(), out);
      return;
    }
    Tensors whole = Tensors.NONE;
    for (int i = 0; i < names.size(); i++) {
      String name = names.get(i);
      int heads = attention.heads(name);
      int width = attention.width(name);
      Tensor copy = Tensor.zeros(1, heads, tokens, width);
      rows.move(s, bound.tensor(i).data(), copy.data(), heads, width, true);
      whole = whole.with(name, copy);
    }
    Tensor answer = Tensor.zeros(1, attention.heads(), tokens, attention.valueDim());
    plan.forward(attention.withParameters(whole), answer);
    rows.move(s, out.data(), answer.data(), attention.heads(), attention.valueDim(), false);
  }

  /// Number of sequences.
  public int sequences() {
    return count;
  }

  /// Number of tokens a sequence has taken.
  ///
  /// @param sequence from 0 to below [#sequences]
  public int position(int sequence) {
    return sequences.cache(sequence).taken();
  }

  /// Bytes of the cached keys and values, scales included.
  public long stateBytes() {
    return sequences.bytes();
  }

  /// A decoder that goes on from here on its own.
  ///
  /// @return a decoder of as many sequences, for one caller at a time
  public Decoder fork() {
    int[] all = new int[count];
    Arrays.setAll(all, s -> s);
    return fork(all);
  }

  /// A decoder whose sequences start as copies of some of these: `fork(0, 0, 0)` samples three
  /// continuations of one prompt.
  ///
  /// @param which of these sequences each new one copies, at least one
  /// @return a decoder of as many sequences as named, for one caller at a time
  public Decoder fork(int... which) {
    if (which.length == 0) {
      throw new IllegalArgumentException("which must name a sequence, but was empty");
    }
    for (int s : which) {
      requireSequence(s);
    }
    return new Decoder(attention, attention.fork(sequences, which));
  }

  /// Forgets all but the first positions of every sequence; shorter ones stay as they are.
  ///
  /// @param position number of tokens that stay, at least 0
  /// @throws IllegalStateException where a window or grouped storage no longer has what is needed;
  ///     nothing has changed then. The last 64 positions behind a window can always be taken back
  public void truncate(int position) {
    for (int s = 0; s < count; s++) {
      sequences.cache(s).requireBack(Math.min(position, position(s)));
    }
    for (int s = 0; s < count; s++) {
      sequences.cache(s).truncate(Math.min(position, position(s)));
    }
  }

  /// Forgets all but the first positions of one sequence.
  ///
  /// @param sequence from 0 to below [#sequences]
  /// @param position number of tokens that stay, from 0 to those it has taken
  /// @throws IllegalArgumentException if it is not so long
  /// @throws IllegalStateException as [#truncate(int)]
  public void truncate(int sequence, int position) {
    requireSequence(sequence);
    sequences.cache(sequence).requireBack(position);
    sequences.cache(sequence).truncate(position);
  }

  private void requireSequence(int sequence) {
    if (sequence < 0 || sequence >= count) {
      throw new IllegalArgumentException(
          "sequence must be from 0 to " + (count - 1) + ", but was " + sequence);
    }
  }

  /// The tensors of a call and the builder's parameters.
  private final class Bound implements BoundTensors {
    private Tensors parameters = Tensors.NONE;
    private Tensor q = Tensor.zeros(0);
    private Tensor k = q;
    private Tensor v = q;
    private @Nullable Tensor gate;

    void set(Tensor newQ, Tensor newK, Tensor newV, @Nullable Tensor newGate) {
      q = newQ;
      k = newK;
      v = newV;
      gate = newGate;
    }

    /// In the order of the names.
    Tensor tensor(int index) {
      return switch (index) {
        case 0 -> q;
        case 1 -> k;
        case 2 -> v;
        default -> Objects.requireNonNull(gate);
      };
    }

    Tensors whole() {
      Tensors whole = attention.inputs(q, k, v);
      return gate == null ? whole : whole.with("output_gate", gate);
    }

    @Override
    public boolean has(String name) {
      return names.contains(name) || parameters.has(name);
    }

    @Override
    public float[] get(String name) {
      int own = names.indexOf(name);
      return own >= 0 ? tensor(own).data() : parameters.get(name).data();
    }
  }
}
