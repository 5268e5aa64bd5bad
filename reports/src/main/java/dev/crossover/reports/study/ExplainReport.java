// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.study;

import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.reading.AttentionFlow;
import dev.crossover.bench.reading.AttentionStack;
import dev.crossover.bench.reading.CausalGraph.Learned;
import dev.crossover.bench.reading.Explanations;
import dev.crossover.bench.reading.GraphReading.Settings;
import dev.crossover.bench.reading.GraphStudy;
import dev.crossover.bench.reading.GraphStudy.Entry;
import dev.crossover.bench.reading.GraphStudy.HeadRow;
import dev.crossover.bench.reading.HeadStatistics;
import dev.crossover.bench.reading.ImpliedWeights;
import dev.crossover.bench.reading.LayerPatterns;
import dev.crossover.bench.reading.Rollout;
import dev.crossover.bench.reading.VisiblePairs;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Predicate;

/// What attention says about chosen tokens: causal graphs, sets that explain a token, statistics of
/// heads, rollout and flow.
///
/// @param wish what was asked for
/// @param source what the weights are of, for people
/// @param parts one per mask, or one for weights that were given
/// @param layers rollout and flow; only for weights of several layers that were given
public record ExplainReport(Wish wish, String source, List<Part> parts, Optional<Layers> layers) {

  /// What to read.
  ///
  /// @param nodes positions of the tokens, ascending
  /// @param names of those tokens
  /// @param head the head, from 0
  /// @param settings how graphs are learned
  /// @param target position of a token of the graph to explain
  /// @param share share of the target's weight on the other tokens that a set must hold to explain
  public record Wish(
      List<Integer> nodes,
      List<String> names,
      int head,
      Settings settings,
      OptionalInt target,
      double share) {

    /// Validates the choice.
    public Wish {
      nodes = List.copyOf(nodes);
      names = List.copyOf(names);
      if (nodes.isEmpty()) {
        throw new IllegalArgumentException("nodes must be at least one, but were none");
      }
      if (target.isPresent() && !nodes.contains(target.getAsInt())) {
        throw new IllegalArgumentException(
            "target must be one of the nodes " + nodes + ", but was " + target.getAsInt());
      }
      if (!(share > 0 && share < 1)) {
        throw new IllegalArgumentException("share must lie between 0 and 1, but was " + share);
      }
    }
  }

  /// Graphs to be seen side by side.
  ///
  /// @param title of the part
  /// @param key of its files: lower-case letters, digits and hyphens
  /// @param entries the reference first
  /// @param left specs that the mask or sizes left out
  /// @param heads statistics of heads
  /// @param explained sets that explain the target, one per entry with a graph
  public record Part(
      String title,
      String key,
      List<Entry> entries,
      List<String> left,
      List<HeadRow> heads,
      List<Explained> explained) {}

  /// Sets that explain the target under one attention.
  ///
  /// @param spec the attention
  /// @param byGraph found along the graph
  /// @param asked questions of a search through all sets; absent for more than 20 tokens
  /// @param byWeight number of questions, and tokens, when taken in order of their weights
  public record Explained(
      String spec, Explanations byGraph, OptionalInt asked, OptionalInt byWeight) {}

  /// Rollout and flow of the last layer from one position.
  ///
  /// @param query the position
  /// @param rollout by input, with the residual connection
  /// @param withoutResidual by input
  /// @param uniform rollout of uniform weights under the same mask, for comparison
  /// @param flow share of the maximum flows by input; absent for many positions
  /// @param maps rollout after the last layer, `[n][n]`
  public record Layers(
      int query,
      double[] rollout,
      double[] withoutResidual,
      double[] uniform,
      Optional<double[]> flow,
      double[][] maps) {}

  /// Reads mechanisms on queries and keys.
  ///
  /// @param problems one per mask, of equal tensors
  /// @param specs the mechanisms
  public static ExplainReport ofProblems(
      Wish wish, List<ErrorProblem> problems, List<String> specs) {
    List<Part> parts = new ArrayList<>();
    for (ErrorProblem problem : problems) {
      GraphStudy study =
          GraphStudy.of(problem, wish.head, wish.nodes, wish.names, specs, wish.settings);
      List<Entry> entries = new ArrayList<>();
      entries.add(study.exact());
      entries.addAll(study.others());
      boolean causal = problem.mask().isCausal();
      parts.add(
          new Part(
              causal ? "causal mask" : "no mask",
              causal ? "causal" : "unmasked",
              List.copyOf(entries),
              study.left(),
              study.heads(),
              explained(wish, entries)));
    }
    String source =
        problems.getFirst().input() + ", first " + problems.getFirst().shape().querySeqLen();
    return new ExplainReport(wish, source + " positions", List.copyOf(parts), Optional.empty());
  }

  /// Reads weights that were given.
  ///
  /// @param source what they are, for people
  /// @param layer the layer whose head becomes a graph, from 0
  public static ExplainReport ofStack(Wish wish, AttentionStack stack, String source, int layer) {
    check("layer", layer, stack.depth());
    check("head", wish.head, stack.heads(layer));
    for (int node : wish.nodes) {
      check("nodes", node, stack.queries());
    }
    double[][] weights = stack.head(layer, wish.head);
    String label = "layer " + layer + ", head " + wish.head;
    List<Entry> entries =
        List.of(Entry.alone(label, weights, wish.nodes, wish.names, wish.settings));
    List<HeadRow> heads = new ArrayList<>();
    for (int l = 0; l < stack.depth(); l++) {
      for (int h = 0; h < stack.heads(l); h++) {
        double[][] head = stack.head(l, h);
        heads.add(
            new HeadRow(
                "layer " + l,
                h,
                ImpliedWeights.quality(head),
                HeadStatistics.of(head),
                Double.NaN));
      }
    }
    Part part =
        new Part(label, "layer-" + layer, entries, List.of(), heads, explained(wish, entries));
    boolean square = stack.queries() == stack.keys();
    return new ExplainReport(
        wish, source, List.of(part), square ? Optional.of(layers(wish, stack)) : Optional.empty());
  }

  private static void check(String name, int value, int limit) {
    if (value < 0 || value >= limit) {
      throw new IllegalArgumentException(
          name + " must be from 0 to " + (limit - 1) + ", but was " + value);
    }
  }

  private static Layers layers(Wish wish, AttentionStack stack) {
    int n = stack.queries();
    int query = wish.target.orElse(wish.nodes.getLast());
    Optional<double[]> flow = Optional.empty();
    if (n <= AttentionFlow.MOST_POSITIONS) {
      double[][] row = {AttentionFlow.row(stack, query)};
      flow = Optional.of(AttentionFlow.normalised(row)[0]);
    }
    return new Layers(
        query,
        Rollout.row(stack, query, true),
        Rollout.row(stack, query, false),
        Rollout.row(uniform(stack), query, true),
        flow,
        Rollout.of(stack, true).getLast());
  }

  /// Uniform weights over what each query sees in any layer: what rollout says without preference.
  private static AttentionStack uniform(AttentionStack stack) {
    int n = stack.queries();
    boolean causal = true;
    for (int l = 0; l < stack.depth(); l++) {
      VisiblePairs pairs = VisiblePairs.ofWeights(new double[][][] {stack.mean(l)});
      for (int i = 0; i < n && causal; i++) {
        for (int j = i + 1; j < n; j++) {
          causal &= !pairs.reads(i, j);
        }
      }
    }
    VisiblePairs seen = LayerPatterns.full(n, causal);
    double[][] weights = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        weights[i][j] = seen.reads(i, j) ? 1.0 / (causal ? i + 1 : n) : 0;
      }
    }
    List<double[][][]> layers = new ArrayList<>();
    for (int l = 0; l < stack.depth(); l++) {
      layers.add(new double[][][] {weights});
    }
    return new AttentionStack(layers);
  }

  private static List<Explained> explained(Wish wish, List<Entry> entries) {
    List<Explained> all = new ArrayList<>();
    if (wish.target.isEmpty()) {
      return all;
    }
    int target = wish.nodes.indexOf(wish.target.getAsInt());
    for (Entry entry : entries) {
      entry
          .reading()
          .graph()
          .map(Learned::graph)
          .ifPresent(
              graph -> {
                double[] row = entry.weights()[wish.target.getAsInt()];
                double total = 0;
                List<Integer> order = new ArrayList<>();
                for (int node = 0; node < wish.nodes.size(); node++) {
                  if (node != target) {
                    total += row[wish.nodes.get(node)];
                    order.add(node);
                  }
                }
                double least = wish.share * total;
                Predicate<List<Integer>> explains =
                    set -> set.stream().mapToDouble(t -> row[wish.nodes.get(t)]).sum() > least;
                order.sort(Comparator.comparingDouble(t -> -row[wish.nodes.get(t)]));
                OptionalInt exhaustive =
                    wish.nodes.size() <= 20
                        ? OptionalInt.of(
                            Explanations.exhaustive(wish.nodes.size(), target, explains).asked())
                        : OptionalInt.empty();
                Optional<Explanations.Found> first = Explanations.firstOf(order, explains);
                all.add(
                    new Explained(
                        entry.spec(),
                        Explanations.search(
                            graph,
                            target,
                            explains,
                            new Explanations.Limits(true, OptionalInt.of(4), OptionalInt.empty())),
                        exhaustive,
                        first.isPresent()
                            ? OptionalInt.of(first.get().tokens().size())
                            : OptionalInt.empty()));
              });
    }
    return List.copyOf(all);
  }

  /// One graph in one line: edges, and how many differ; or why there is none.
  public static String line(Entry entry) {
    String text =
        entry
            .reading()
            .graph()
            .map(learned -> learned.graph().edges().size() + " edges")
            .orElse(entry.reading().refusal());
    String difference =
        entry
            .difference()
            .map(
                d ->
                    ", "
                        + d.edges()
                        + " differ: "
                        + d.missing()
                        + " lost, "
                        + d.extra()
                        + " new, "
                        + d.marks()
                        + " marked otherwise")
            .orElse("");
    String stop =
        entry.reading().graph().filter(g -> !g.complete()).map(g -> "; " + g.stop()).orElse("");
    return entry.spec() + ": " + text + difference + stop;
  }

  /// Loads one problem per mask.
  ///
  /// @param label label of an input
  /// @param n positions
  /// @param causal the masks
  /// @throws IOException if a file cannot be read
  public static List<ErrorProblem> problems(
      String label, int n, List<Boolean> causal, long seed, int threads) throws IOException {
    List<ErrorProblem> problems = new ArrayList<>();
    for (boolean one : causal) {
      problems.add(ErrorProblem.of(label, n, one, seed, threads));
    }
    return problems;
  }
}
