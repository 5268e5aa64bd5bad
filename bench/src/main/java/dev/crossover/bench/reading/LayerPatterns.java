// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.ArrayList;
import java.util.List;

/// Pairs of layers that are no mechanisms of the catalogue, by their definitions: those of Vaswani
/// et al. (arXiv:1706.03762), table 1, and segments with memory.
public final class LayerPatterns {
  private LayerPatterns() {}

  /// Every output reads every input, or every one before it and itself.
  public static VisiblePairs full(int n, boolean causal) {
    return VisiblePairs.of(n, (i, j) -> !causal || j <= i);
  }

  /// One step of a recurrent layer taken for a layer: a token and the one before it.
  public static VisiblePairs recurrentStep(int n) {
    return VisiblePairs.of(n, (i, j) -> j == i || j == i - 1);
  }

  /// A convolution.
  ///
  /// @param kernel taps k, at least 2; odd unless causal
  /// @param dilation distance of neighbouring taps
  /// @param causal whether the last tap is at the output's own position; else the middle one
  public static VisiblePairs convolution(int n, int kernel, int dilation, boolean causal) {
    int before = causal ? kernel - 1 : (kernel - 1) / 2;
    int after = causal ? 0 : (kernel - 1) / 2;
    return VisiblePairs.of(
        n,
        (i, j) ->
            (i - j) % dilation == 0
                && i - j <= (long) before * dilation
                && j - i <= (long) after * dilation);
  }

  /// Convolutions of dilations 1, k, k², … below n, in turn.
  public static List<VisiblePairs> dilatedConvolutions(int n, int kernel, boolean causal) {
    List<VisiblePairs> layers = new ArrayList<>();
    for (long dilation = 1; dilation < Math.max(2, n); dilation *= kernel) {
      layers.add(convolution(n, kernel, (int) dilation, causal));
    }
    return layers;
  }

  /// Transformer-XL over a text longer than a segment: a token reads its own segment up to itself
  /// and the inputs that the memory keeps of the segments before.
  ///
  /// @param segment tokens S of a segment
  /// @param memory tokens M before it that are kept
  public static VisiblePairs segments(int n, int segment, int memory) {
    return VisiblePairs.of(n, (i, j) -> j <= i && j >= i / segment * segment - memory);
  }
}
