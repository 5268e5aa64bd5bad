// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.conformance.Comparison;
import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.TensorFile;
import dev.crossover.attention.tensor.TensorFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/// Replays golden files `interpretation__CASE.safetensors`: causal graphs, rollout, flow,
/// statistics of heads, implied weights and the worked example.
public final class InterpretationReplay implements GoldenReplay {
  private static final String NAME = "interpretation";
  private static final Set<String> COMMON =
      Set.of(
          "format",
          "mechanism",
          "case",
          "kind",
          "causal",
          "source",
          "note",
          "max_abs_diff_to_reference");
  private static final Map<String, Kind> KINDS =
      Map.of(
          "causal_structure",
          new Kind(
              Set.of(
                  "num_samples",
                  "significance",
                  "scale",
                  "selection_bias",
                  "tail_completeness",
                  "target",
                  "explanation_threshold",
                  "search_minimal",
                  "max_set_size",
                  "max_range",
                  "decision_margin"),
              Set.of("attention", "q", "k", "nodes", "explanation_weights"),
              Set.of(
                  "correlation",
                  "p_values",
                  "marks",
                  "attention_rows",
                  "full_explanation_set",
                  "explanations",
                  "explanation_head",
                  "explanation_distance"),
              Set.of("tests", "separators", "true_marks"),
              StructureReplay::replay),
          "rollout",
          new Kind(
              Set.of(),
              Set.of("attention"),
              Set.of("rollout", "rollout_without_residual"),
              Set.of(),
              LayersReplay::rollout),
          "flow",
          new Kind(
              Set.of(),
              Set.of("attention"),
              Set.of("max_flow", "flow"),
              Set.of(),
              LayersReplay::flow),
          "head_statistics",
          new Kind(
              Set.of(),
              Set.of("attention"),
              Set.of(
                  "entropy",
                  "entropy_exact",
                  "mean_distance",
                  "to_previous",
                  "to_self",
                  "to_next",
                  "to_first",
                  "js_divergence"),
              Set.of(),
              LayersReplay::statistics),
          "worked_example",
          new Kind(
              Set.of("scale"),
              Set.of("q", "k", "v"),
              Set.of("scores", "weights", "out", "effective"),
              Set.of(),
              WeightsReplay::example),
          "implied_weights",
          new Kind(
              Set.of("weights_of", "eps", "scale"),
              Set.of("q", "k", "v"),
              Set.of("weights", "out", "effective", "effective_exact", "total_variation"),
              Set.of(),
              WeightsReplay::implied));

  /// What files of one kind may hold.
  private record Kind(
      Set<String> keys,
      Set<String> inputs,
      Set<String> expected,
      Set<String> information,
      Answer answer) {}

  @FunctionalInterface
  private interface Answer {
    void compute(ReadingFile file, ExpectedTensors expected) throws TensorFileException;
  }

  @Override
  public List<String> prefixes() {
    return List.of(NAME + "__");
  }

  @Override
  public ReplayResult replay(Path path) {
    String name = path.toString();
    try {
      TensorFile file = SafeTensors.open(path);
      ReadingFile inputs = new ReadingFile(file);
      Kind kind = checked(inputs);
      ExpectedTensors expected = new ExpectedTensors(file);
      kind.answer.compute(inputs, expected);
      return result(inputs, kind, expected);
    } catch (TensorFileException | IllegalArgumentException e) {
      return new ReplayResult(
          name, NAME, Status.CANNOT_REPLAY, String.valueOf(e.getMessage()), List.of(), List.of());
    }
  }

  private static Kind checked(ReadingFile file) throws TensorFileException {
    file.require("format", List.of(NAME + "-1"));
    file.require("mechanism", List.of(NAME));
    file.text("case");
    file.text("source");
    String named = file.require("kind", KINDS.keySet().stream().sorted().toList());
    Kind kind = Objects.requireNonNull(KINDS.get(named));
    for (String key : file.metadata().keySet()) {
      if (!COMMON.contains(key) && !kind.keys.contains(key)) {
        throw file.fault("metadata must not hold '" + key + "' for this kind, but it does");
      }
    }
    for (String tensor : file.names()) {
      if (!kind.inputs.contains(tensor)
          && !kind.expected.contains(tensor)
          && !kind.information.contains(tensor)) {
        throw file.fault("must not hold a tensor '" + tensor + "' for this kind, but does");
      }
    }
    return kind;
  }

  private static ReplayResult result(ReadingFile file, Kind kind, ExpectedTensors expected)
      throws TensorFileException {
    List<String> skipped = new ArrayList<>();
    for (String tensor : file.names()) {
      if (kind.information.contains(tensor)) {
        skipped.add(tensor + ": information only");
      } else if (kind.expected.contains(tensor) && !expected.used().contains(tensor)) {
        throw file.fault("tensor '" + tensor + "' must follow from the inputs, but does not");
      }
    }
    List<Comparison> comparisons = expected.comparisons();
    if (comparisons.isEmpty()) {
      throw file.fault("must hold an expected tensor, but holds none");
    }
    boolean passed = comparisons.stream().allMatch(Comparison::passed);
    String failing =
        String.join(
            ", ", comparisons.stream().filter(c -> !c.passed()).map(Comparison::name).toList());
    return new ReplayResult(
        file.path(),
        NAME + ":kind=" + file.text("kind"),
        passed ? Status.PASSED : Status.DEVIATED,
        failing.isEmpty() ? "" : "deviating: " + failing,
        comparisons,
        skipped);
  }
}
