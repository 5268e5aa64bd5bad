// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.bench.reading.Explanations.Found;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;

/// Golden files of causal graphs and of the sets that explain a token.
final class StructureReplay {
  private final ReadingFile file;
  private final ExpectedTensors expected;
  private final double[][][] rows;
  private final int[] nodes;

  private StructureReplay(ReadingFile file, ExpectedTensors expected) throws TensorFileException {
    this.file = file;
    this.expected = expected;
    this.rows = rows(file);
    int n = rows[0].length;
    this.nodes = file.holds("nodes") ? file.integers("nodes") : IntStream.range(0, n).toArray();
    for (int i = 0; i < nodes.length; i++) {
      boolean ascending = i == 0 || nodes[i] > nodes[i - 1];
      if (!ascending || nodes[i] < 0 || nodes[i] >= n) {
        throw file.fault("nodes must be ascending rows from 0 to " + (n - 1));
      }
    }
  }

  static void replay(ReadingFile file, ExpectedTensors expected) throws TensorFileException {
    new StructureReplay(file, expected).replay();
  }

  private static double[][][] rows(ReadingFile file) throws TensorFileException {
    if (file.holds("attention")) {
      if (file.holds("q") || file.holds("k")) {
        throw file.fault("must hold attention, or q and k, but holds both");
      }
      return file.matrices("attention", 3);
    }
    double scale = file.scale(file.shape("q", 4)[3]);
    double[][][] q = file.matrices("q", 4);
    double[][][] k = file.matrices("k", 4);
    boolean causal = file.causal();
    double[][][] rows = new double[q.length][][];
    for (int h = 0; h < q.length; h++) {
      rows[h] = WorkedExample.softmax(WorkedExample.scores(q[h], k[h], scale), causal);
    }
    return rows;
  }

  private void replay() throws TensorFileException {
    int heads = rows.length;
    int n = rows[0].length;
    int size = nodes.length;
    int samples = file.whole("num_samples").orElseThrow(() -> file.fault("num_samples is missing"));
    double significance = file.number("significance");
    CausalGraph.Options options =
        CausalGraph.Options.STANDARD.rules(
            file.flag("selection_bias", true), file.flag("tail_completeness", true), false);
    List<double[][]> correlations = new ArrayList<>();
    List<double[][]> pValues = new ArrayList<>();
    List<double[][]> marks = new ArrayList<>();
    List<Pag> graphs = new ArrayList<>();
    for (double[][] head : rows) {
      double[][] all = Correlations.of(head);
      correlations.add(all);
      double[][] r = new double[size][size];
      for (int a = 0; a < size; a++) {
        for (int b = 0; b < size; b++) {
          r[a][b] = all[nodes[a]][nodes[b]];
        }
      }
      PartialCorrelationTest test = new PartialCorrelationTest(r, samples, significance);
      Pag graph = CausalGraph.learn(size, test, options).graph();
      graphs.add(graph);
      marks.add(table(size, (a, b) -> graph.mark(a, b).ordinal()));
      pValues.add(table(size, (a, b) -> a == b ? 0 : test.pValue(a, b, new int[0])));
    }
    if (!file.holds("attention")) {
      int m = rows[0][0].length;
      expected.compare("attention_rows", ExpectedTensors.flat(List.of(rows)), heads, n, m);
    }
    expected.compare("correlation", ExpectedTensors.flat(correlations), heads, n, n);
    expected.compare("p_values", ExpectedTensors.flat(pValues), heads, size, size);
    expected.compare("marks", ExpectedTensors.flat(marks), heads, size, size);
    if (file.metadata().containsKey("target")) {
      explain(graphs);
    }
  }

  private void explain(List<Pag> graphs) throws TensorFileException {
    int size = nodes.length;
    int row = file.whole("target").orElse(-1);
    int target = Arrays.binarySearch(nodes, row);
    if (target < 0) {
      throw file.fault("target must be one of the nodes, but was " + row);
    }
    OptionalInt range = file.whole("max_range");
    Explanations.Limits limits =
        new Explanations.Limits(
            file.flag("search_minimal", true), file.whole("max_set_size"), range);
    List<double[]> full = new ArrayList<>();
    List<double[]> sets = new ArrayList<>();
    List<Double> headOf = new ArrayList<>();
    List<Double> costs = new ArrayList<>();
    for (int h = 0; h < graphs.size(); h++) {
      List<Integer> candidates = Explanations.candidates(graphs.get(h), target, range);
      full.add(indicator(candidates, size));
      for (Found found : found(graphs.get(h), target, candidates, limits)) {
        sets.add(indicator(found.tokens(), size));
        headOf.add((double) h);
        costs.add((double) found.cost());
      }
    }
    int count = sets.size();
    expected.compare("full_explanation_set", joined(full), graphs.size(), size);
    expected.compare("explanations", joined(sets), count, size);
    expected.compare("explanation_head", array(headOf), count);
    expected.compare("explanation_distance", array(costs), count);
  }

  private List<Found> found(
      Pag graph, int target, List<Integer> candidates, Explanations.Limits limits)
      throws TensorFileException {
    if (!file.holds("explanation_weights")) {
      int most = limits.maxSize().orElse(candidates.size());
      return candidates.size() <= most ? List.of(new Found(candidates, most)) : List.of();
    }
    double threshold = file.number("explanation_threshold");
    double[] weights = file.vector("explanation_weights");
    IntToDoubleFunction weight = node -> weights[nodes[node]];
    return Explanations.search(
            graph,
            target,
            set -> set.stream().mapToInt(Integer::intValue).mapToDouble(weight).sum() > threshold,
            limits)
        .found();
  }

  @FunctionalInterface
  private interface Entry {
    double at(int a, int b);
  }

  private static double[][] table(int size, Entry entry) {
    double[][] table = new double[size][size];
    for (int a = 0; a < size; a++) {
      for (int b = 0; b < size; b++) {
        table[a][b] = entry.at(a, b);
      }
    }
    return table;
  }

  private static double[] indicator(List<Integer> members, int size) {
    double[] row = new double[size];
    members.forEach(member -> row[member] = 1);
    return row;
  }

  private static double[] joined(List<double[]> rows) {
    return rows.stream().flatMapToDouble(Arrays::stream).toArray();
  }

  private static double[] array(List<Double> values) {
    return values.stream().mapToDouble(Double::doubleValue).toArray();
  }
}
