// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.reading.PathRules.Formula;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/// Path lengths and sequential operations of every mechanism of the catalogue, of stacks of them,
/// and of the layers of Vaswani et al. (arXiv:1706.03762), table 1.
///
/// @param n positions
/// @param rows the layers
public record PathTable(int n, List<Row> rows) {
  /// Seed of queries, keys and values.
  public static final long SEED = 42;

  /// Most layers whose patterns differ that are taken in turn.
  private static final int HASHED_LAYERS = 64;

  /// Groups of rows.
  public enum Group {
    /// Layers of the published table.
    PUBLISHED("Layers of Vaswani et al., table 1"),
    /// Mechanisms of the catalogue, one layer repeated.
    MECHANISM("Mechanisms"),
    /// Layers that differ, in turn, and single settings of interest.
    STACK("Layers in turn, and settings that shorten or break paths");

    private final String title;

    Group(String title) {
      this.title = title;
    }

    /// For people.
    public String title() {
      return title;
    }
  }

  /// One kind of layer.
  ///
  /// @param group what it belongs to
  /// @param name what it is called
  /// @param causal whether outputs see inputs up to their own position only
  /// @param measured found by breadth-first search over its own pairs
  /// @param formula the closed formula; absent where there is none
  /// @param sequential longest chain of steps inside a layer
  /// @param complexity work of a layer
  /// @param published the path length that its paper states; empty where none
  public record Row(
      Group group,
      String name,
      boolean causal,
      PathLengths measured,
      Optional<Formula> formula,
      String sequential,
      String complexity,
      String published) {

    /// Whether the measured length obeys the closed formula; true where there is none.
    public boolean agrees() {
      return formula.isEmpty() || formula.get().admits(measured);
    }
  }

  /// Measures all rows.
  ///
  /// @param n positions, from 4 to 512; a square of an even number suits all patterns
  public static PathTable of(int n) {
    if (n < 4 || n > 512) {
      throw new IllegalArgumentException("n must be from 4 to 512, but was " + n);
    }
    List<Row> rows = new ArrayList<>();
    published(rows, n);
    for (MechanismType type : Catalogue.all()) {
      mechanism(rows, type, n);
    }
    stacks(rows, n);
    return new PathTable(n, List.copyOf(rows));
  }

  private static void published(List<Row> rows, int n) {
    for (boolean causal : new boolean[] {false, true}) {
      add(
          rows,
          "self-attention",
          causal,
          List.of(LayerPatterns.full(n, causal)),
          Formula.of("1", 1),
          "1",
          "n² d",
          "1");
    }
    add(
        rows,
        "recurrent (LSTM), whole layer",
        true,
        List.of(LayerPatterns.full(n, true)),
        Formula.of("1", 1),
        "n",
        "n d²",
        "n");
    add(
        rows,
        "recurrent (LSTM), a step counted as a layer",
        true,
        List.of(LayerPatterns.recurrentStep(n)),
        Formula.of("n − 1", n - 1),
        "n",
        "n d²",
        "n");
    int k = 3;
    for (boolean causal : new boolean[] {false, true}) {
      Formula contiguous =
          causal
              ? Formula.of("⌈(n − 1) / (k − 1)⌉", Math.ceilDiv(n - 1, k - 1))
              : Formula.of("⌈2 (n − 1) / (k − 1)⌉", Math.ceilDiv(n - 1, (k - 1) / 2));
      List<VisiblePairs> layer = List.of(LayerPatterns.convolution(n, k, 1, causal));
      add(rows, "convolution, k = 3", causal, layer, contiguous, "1", "k n d²", "n / k");
      add(
          rows,
          "separable convolution, k = 3",
          causal,
          layer,
          contiguous,
          "1",
          "k n d + n d²",
          "n / k");
      rows.add(
          new Row(
              Group.PUBLISHED,
              "convolution, k = 3, dilation 1, k, k², …",
              causal,
              PathLengths.of(LayerPatterns.dilatedConvolutions(n, k, causal), causal),
              causal
                  ? Optional.of(Formula.of("⌈log_k n⌉", PathRules.ceilLog(k, n)))
                  : Optional.empty(),
              "1",
              "k n d²",
              "log_k n"));
    }
    int r = 4;
    add(
        rows,
        "self-attention, restricted to r = 4 neighbours",
        false,
        List.of(LayerPatterns.convolution(n, r + 1, 1, false)),
        Formula.of("⌈2 (n − 1) / r⌉", Math.ceilDiv(n - 1, r / 2)),
        "1",
        "r n d",
        "n / r");
  }

  private static void add(
      List<Row> rows,
      String name,
      boolean causal,
      List<VisiblePairs> layers,
      Formula formula,
      String sequential,
      String complexity,
      String published) {
    rows.add(
        new Row(
            Group.PUBLISHED,
            name,
            causal,
            PathLengths.of(layers, causal),
            Optional.of(formula),
            sequential,
            complexity,
            published));
  }

  private static void mechanism(List<Row> rows, MechanismType type, int n) {
    String spec = PathRules.spec(type, n);
    Mechanism about = type.mechanism();
    for (boolean causal : new boolean[] {false, true}) {
      MechanismPairs.of(spec, n, causal, SEED)
          .ifPresent(
              pairs ->
                  rows.add(
                      new Row(
                          Group.MECHANISM,
                          spec,
                          causal,
                          PathLengths.of(List.of(pairs), causal),
                          PathRules.formula(spec, n),
                          PathRules.sequential(about, causal),
                          about.time(),
                          PathRules.published(type.name()))));
    }
  }

  private static void stacks(List<Row> rows, int n) {
    int l = PathRules.root(n);
    String sparse = "sparse_transformer:stride=" + l + ",pattern=";
    stack(rows, n, true, List.of(sparse + "local", sparse + "strided"), OptionalInt.of(2), "p + 1");
    stack(rows, n, true, List.of(sparse + "strided", sparse + "local"), OptionalInt.of(2), "p + 1");
    stack(
        rows,
        n,
        true,
        List.of(sparse + "fixed_block", sparse + "fixed_summary"),
        OptionalInt.of(2),
        "p + 1");
    stack(
        rows,
        n,
        true,
        List.of(sparse + "fixed_summary", sparse + "fixed_block"),
        OptionalInt.of(n > l ? 3 : 2),
        "p + 1");
    stack(rows, n, true, List.of(sparse + "local"), OptionalInt.of(Math.ceilDiv(n - 1, l - 1)), "");
    stack(rows, n, false, List.of("longformer:window=2,dilation=2"), OptionalInt.of(-1), "l d w");
    stack(rows, n, false, List.of("longformer:window=2,dilation=1/4"), OptionalInt.empty(), "");
    global(rows, n, false, 2);
    global(rows, n, true, Math.ceilDiv(n - 2, 2));
    stack(
        rows,
        n,
        false,
        List.of(
            "linformer:projection=convolution,projected_length="
                + n / 3
                + ",kernel_size=3,stride=3"),
        OptionalInt.of(n % 3 == 0 ? 1 : -1),
        "");
    String reformer = "reformer:chunk_length=" + (l / 2) + ",seed=";
    for (boolean causal : new boolean[] {false, true}) {
      List<VisiblePairs> layers = new ArrayList<>();
      for (int layer = 0; layer < HASHED_LAYERS; layer++) {
        MechanismPairs.of(reformer + (SEED + layer), n, causal, SEED).ifPresent(layers::add);
      }
      rows.add(
          row(
              "reformer:chunk_length=" + (l / 2) + ", new hashes in every layer",
              causal,
              layers,
              OptionalInt.empty(),
              "sort",
              ""));
    }
    rows.add(
        row(
            "transformer_xl over segments of " + l + ", memory " + l,
            true,
            List.of(LayerPatterns.segments(n, l, l)),
            OptionalInt.of(Math.ceilDiv(n, l) - 1),
            "n / S segments",
            "N L"));
  }

  private static void global(List<Row> rows, int n, boolean causal, int length) {
    Tensors mask = Tensors.NONE.with("global_mask", MechanismPairs.globalToken(n, 0));
    MechanismPairs.of("longformer:window=2", n, causal, SEED, mask)
        .ifPresent(
            pairs ->
                rows.add(
                    row(
                        "longformer:window=2, token 0 global",
                        causal,
                        List.of(pairs),
                        OptionalInt.of(length),
                        "1",
                        "")));
  }

  private static void stack(
      List<Row> rows,
      int n,
      boolean causal,
      List<String> specs,
      OptionalInt length,
      String published) {
    List<VisiblePairs> layers = new ArrayList<>();
    for (String spec : specs) {
      MechanismPairs.of(spec, n, causal, SEED).ifPresent(layers::add);
    }
    if (layers.size() == specs.size()) {
      String name = String.join(" below ", specs);
      rows.add(row(name, causal, layers, length, "1", published));
    }
  }

  private static Row row(
      String name,
      boolean causal,
      List<VisiblePairs> layers,
      OptionalInt length,
      String sequential,
      String published) {
    Optional<Formula> formula =
        length.isEmpty()
            ? Optional.empty()
            : Optional.of(
                Formula.of(
                    length.getAsInt() < 0 ? "never" : Integer.toString(length.getAsInt()),
                    length.getAsInt()));
    return new Row(
        Group.STACK,
        name,
        causal,
        PathLengths.of(layers, causal),
        formula,
        sequential,
        "",
        published);
  }
}
