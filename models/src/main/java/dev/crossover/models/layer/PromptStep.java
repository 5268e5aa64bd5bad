// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A prompt before a cache with a policy: its tokens are answered by the mechanism with a whole
/// cache, and put by; after the last the session with the policy gets them together.
final class PromptStep {
  private final CachingAttention core;
  private final AttentionShape shape;
  private final List<String> names;
  private final int[] dimensions;
  private final int threads;
  private @Nullable DecodeSession exact;
  private Tensors collected = Tensors.NONE;

  /// @param core the mechanism without options of its cache
  /// @param shape sizes of one token
  /// @param names of the inputs made from tokens
  PromptStep(CachingAttention core, AttentionShape shape, List<String> names, int threads) {
    this.core = core;
    this.shape = shape;
    this.names = names;
    this.dimensions = names.stream().mapToInt(this::positions).toArray();
    this.threads = threads;
  }

  /// Takes a token and writes its output.
  ///
  /// @param position of the token in the prompt
  /// @param prompt tokens of the prompt
  /// @param session gets the whole prompt after its last token
  void step(Tensors given, Tensor out, int position, int prompt, DecodeSession session) {
    DecodeSession whole = exact;
    if (position == 0 || whole == null) {
      whole = core.decode(shape.withSeqLens(prompt, prompt), threads);
      exact = whole;
      collected = given;
      for (int i = 0; i < dimensions.length; i++) {
        int[] sizes = given.get(names.get(i)).shape();
        sizes[dimensions[i]] = prompt;
        collected = collected.with(names.get(i), Tensor.zeros(sizes));
      }
    }
    whole.step(given, out);
    for (int i = 0; i < dimensions.length; i++) {
      String name = names.get(i);
      putBy(given.get(name), dimensions[i], position, prompt, collected.get(name));
    }
    if (position == prompt - 1) {
      session.prefill(collected);
      exact = null;
      collected = Tensors.NONE;
    }
  }

  /// The dimension of positions of an input.
  private int positions(String input) {
    return core.inputs(shape).stream()
        .filter(spec -> spec.name().equals(input))
        .mapToInt(spec -> spec.axes().indexOf(spec.has(Axis.QUERY) ? Axis.QUERY : Axis.KEY))
        .findFirst()
        .orElseThrow();
  }

  /// Copies the row of every head to its place among those of the prompt.
  private static void putBy(Tensor row, int dimension, int position, int prompt, Tensor rows) {
    int heads = 1;
    for (int i = 0; i < dimension; i++) {
      heads *= row.extent(i);
    }
    int width = row.size() / heads;
    for (int h = 0; h < heads; h++) {
      System.arraycopy(row.data(), h * width, rows.data(), (h * prompt + position) * width, width);
    }
  }

  /// Bytes of the whole cache.
  long stateBytes() {
    DecodeSession whole = exact;
    return whole == null ? 0 : whole.stateBytes();
  }
}
