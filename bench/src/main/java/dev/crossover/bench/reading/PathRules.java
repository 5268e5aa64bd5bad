// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Mechanism.Family;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// What is known in advance about the path lengths of mechanisms: settings small enough to show a
/// pattern at a small length, closed formulas, sequential operations.
///
/// A mechanism that is not named here is still measured, at settings chosen by the names of its
/// parameters.
public final class PathRules {
  private static final int HEADS = 2;

  private PathRules() {}

  /// A closed formula with its value.
  ///
  /// @param text in n and the parameters
  /// @param layers its value; -1 for never
  /// @param bound whether it is a lower bound
  public record Formula(String text, int layers, boolean bound) {

    static Formula of(String text, int layers) {
      return new Formula(text, layers, false);
    }

    static Formula atLeast(String text, int layers) {
      return new Formula(text, layers, true);
    }

    /// Whether a measured length obeys it; never is longer than any bound.
    boolean admits(PathLengths measured) {
      return bound
          ? measured.unreachable() || measured.layers() >= layers
          : measured.layers() == layers;
    }
  }

  /// The settings at which a mechanism is measured: those parameters that narrow what it sees.
  static String spec(MechanismType type, int n) {
    int root = root(n);
    Family family = type.mechanism().family();
    Map<String, Integer> small = new LinkedHashMap<>();
    boolean blocks = type.parameters().stream().anyMatch(p -> p.name().equals("block_size"));
    small.put("window", 2);
    small.put("window_size", blocks ? 1 : 2);
    if (family == Family.SPARSE) {
      small.put("stride", root);
    }
    small.put("block_size", root / 2);
    small.put("sample_size", root / 4);
    small.put("min_seq_len", root);
    small.put("chunk_length", root / 2);
    small.put("top_k", blocks ? 2 : 4);
    small.put("num_selected_blocks", 1);
    small.put("num_random_blocks", 1);
    small.put("landmarks", root / 2);
    small.put("projected_length", root / 2);
    List<String> values = new ArrayList<>();
    boolean selects = family != Family.RECURRENT && family != Family.EXACT;
    for (Map.Entry<String, Integer> entry : small.entrySet()) {
      boolean takes = type.parameters().stream().anyMatch(p -> p.name().equals(entry.getKey()));
      if (takes && selects) {
        values.add(entry.getKey() + "=" + entry.getValue());
      }
    }
    String spec = type.name() + (values.isEmpty() ? "" : ":" + String.join(",", values));
    try {
      Catalogue.parse(spec);
      return spec;
    } catch (IllegalArgumentException e) {
      return type.name();
    }
  }

  /// The closed formula at the settings of [#spec]; empty where none is known.
  static Optional<Formula> formula(String spec, int n) {
    int root = root(n);
    int block = root / 2;
    Formula formula =
        switch (Catalogue.parse(spec).name()) {
          case "longformer" -> Formula.of("⌈(n − 1) / w⌉", Math.ceilDiv(n - 1, 2));
          case "fox" -> Formula.of("⌈(n − 1) / (W − 1)⌉", n - 1);
          case "sparse_transformer" -> Formula.of("2; 1 if n ≤ l + 1", n <= root + 1 ? 1 : 2);
          case "bigbird" -> Formula.of("2; 1 if the pattern is full", n < 4 * block ? 1 : 2);
          case "reformer" ->
              Formula.atLeast(
                  "≥ ⌈log n⌉ to base 2 m R H", ceilLog(Math.max(2, 2 * block * HEADS), n));
          case "topk" -> Formula.atLeast("≥ ⌈log n⌉ to base k H + 1", ceilLog(4 * HEADS + 1, n));
          case "moba" ->
              Formula.atLeast(
                  "≥ ⌈log n⌉ to base (1 + (k − 1) H) b", ceilLog((1 + HEADS) * block, n));
          case "nsa" -> Formula.of("1 if the gates are open", 1);
          case "materialised",
              "tiled",
              "additive",
              "cosine",
              "tener",
              "stick_breaking",
              "differential",
              "sage",
              "transformer_xl",
              "linformer",
              "nystromformer",
              "luna",
              "mla",
              "efficient_attention",
              "performer",
              "linear_transformer",
              "cosformer",
              "rfa",
              "hedgehog",
              "based",
              "power",
              "retnet",
              "gla",
              "lightning_attention2",
              "mamba2_ssd",
              "mamba3",
              "log_linear",
              "deltanet",
              "gated_deltanet" ->
              Formula.of("1", 1);
          default -> null;
        };
    return Optional.ofNullable(formula);
  }

  /// The longest chain of steps of positions inside a layer.
  static String sequential(Mechanism about, boolean causal) {
    boolean state =
        about.exponent() < 2
            && (about.family() == Family.RECURRENT
                || (about.family() == Family.FEATURE_MAP && causal)
                || (about.family() == Family.LOW_RANK && causal));
    if (state) {
      return "n as a recurrence, n / C by chunks, log₂ n by a scan, 1 in quadratic form";
    }
    return about.family() == Family.HASHING ? "sort" : "1";
  }

  /// What a paper states.
  static String published(String mechanism) {
    return switch (mechanism) {
      case "materialised", "tiled" -> "1";
      case "longformer" -> "receptive field l w, w on both sides together";
      case "sparse_transformer" -> "p + 1 locations, p = 2";
      default -> "";
    };
  }

  /// ⌊√n⌋.
  static int root(int n) {
    return (int) Math.sqrt(n);
  }

  /// ⌈log n⌉ to a base, by multiplication.
  static int ceilLog(int base, int n) {
    int layers = 0;
    for (long reach = 1; reach < n; reach *= base) {
      layers++;
    }
    return layers;
  }
}
