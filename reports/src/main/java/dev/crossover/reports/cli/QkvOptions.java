// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.input.FileInput;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/// The options that name queries, keys and values of the user's own.
final class QkvOptions {
  @Option(
      names = "--qkv",
      paramLabel = "FILE",
      description = "Queries, keys and values of your own: .safetensors or .npz.")
  private @Nullable Path file;

  @Option(
      names = "--qkv-names",
      paramLabel = "Q,K,V",
      description = "Their names in the file, q,k,v when absent; {layer} stands for the layer.")
  private @Nullable String names;

  @Option(names = "--qkv-layer", paramLabel = "L", description = "Layer, from 0.")
  private @Nullable Integer layer;

  @Option(
      names = "--qkv-heads",
      paramLabel = "H,…",
      split = ",",
      description = "Query heads, from 0; all when absent.")
  private @Nullable List<Integer> heads;

  @Option(
      names = "--qkv-layout",
      paramLabel = "LAYOUT",
      description =
          "hnd where arrays are [heads, positions, width] (the default), nhd where they are"
              + " [positions, heads, width].")
  private @Nullable String layout;

  /// Label of the input they name; nothing when no file was given.
  ///
  /// @throws IllegalArgumentException if there are not three names, or they are of no file
  Optional<String> label() {
    if (file == null) {
      if (names != null || layer != null || heads != null || layout != null) {
        throw new IllegalArgumentException(
            "qkv must be given with --qkv-names, --qkv-layer, --qkv-heads and --qkv-layout, but was"
                + " absent");
      }
      return Optional.empty();
    }
    List<String> three = names == null ? List.of("q", "k", "v") : Lists.pieces(names, name -> name);
    if (three.size() != 3) {
      throw new IllegalArgumentException("qkv-names must be three names, but was '" + names + "'");
    }
    return Optional.of(
        FileInput.label(
            file.toAbsolutePath().normalize(),
            three,
            layer == null ? 0 : layer,
            heads == null ? List.of() : heads,
            layout == null ? "hnd" : layout));
  }
}
