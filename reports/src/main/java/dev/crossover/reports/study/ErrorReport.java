// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.study;

import dev.crossover.attention.Mask;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.bench.error.EffectiveWeights;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.error.KnobCurve;
import dev.crossover.bench.error.PlaceStudy;
import dev.crossover.bench.error.Spectrum;
import dev.crossover.bench.input.AttentionRows;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/// Everything an error study computes: nothing in it is timed.
///
/// @param wish what was asked for
/// @param panels one per mask
/// @param rate Performer's features on a Gaussian input on which their rate shows
public record ErrorReport(Wish wish, List<Panel> panels, Features rate) {
  /// The input on which 1/√m shows: |q + k|²/√d is about 1.6, so that a few features suffice.
  public static final String RATE_INPUT = "gaussian:scale=0.1";

  private static final String PLAIN = "eps=0,renorm_stabilizer=0";
  private static final int FEWEST_FEATURES = 16;
  private static final int MOST_FEATURES = 2048;

  /// What to compute.
  ///
  /// @param input label of the tensors
  /// @param n sequence length, at least 16
  /// @param causal the masks, in order
  /// @param mechanisms mechanisms whose errors are placed; a choice for each mask when empty
  /// @param seeds seeds of random mechanisms, at least 1
  /// @param seed the first of them
  /// @param threads number of threads
  public record Wish(
      String input,
      int n,
      List<Boolean> causal,
      List<String> mechanisms,
      int seeds,
      long seed,
      int threads) {

    /// Validates the numbers.
    public Wish {
      require(n >= 16, "n must be at least 16", n);
      require(seeds >= 1 && seeds <= 1000, "seeds must be from 1 to 1000", seeds);
      require(threads >= 1, "threads must be at least 1", threads);
      causal = List.copyOf(causal);
      mechanisms = List.copyOf(mechanisms);
    }

    private static void require(boolean holds, String rule, int value) {
      if (!holds) {
        throw new IllegalArgumentException(rule + ", but was " + value);
      }
    }
  }

  /// Performer's feature maps against their number.
  ///
  /// @param problem tensors and mask
  /// @param curves one per map; the first is orthogonal and positive
  public record Features(ErrorProblem problem, List<KnobCurve> curves) {}

  /// One mask.
  ///
  /// @param problem tensors of the knob curves
  /// @param rows how hard they are
  /// @param knobs error against each mechanism's knob
  /// @param features Performer's feature maps
  /// @param places where mechanisms err, on the first positions
  /// @param spectra spectra of the exact attention matrices of the input and of Gaussian tensors
  public record Panel(
      ErrorProblem problem,
      AttentionRows rows,
      List<KnobCurve> knobs,
      Features features,
      List<PlaceStudy> places,
      List<Spectrum> spectra) {

    /// Positions of the places and spectra.
    public int positions() {
      return Math.min(EffectiveWeights.MOST_POSITIONS, problem.shape().querySeqLen());
    }

    /// `causal mask` or `no mask`.
    public String maskName() {
      return problem.mask().isCausal() ? "causal mask" : "no mask";
    }
  }

  /// Computes a report.
  ///
  /// @param progress told what comes next
  /// @throws IllegalArgumentException if a label or spec is not valid
  /// @throws IOException if a file cannot be read
  public static ErrorReport compute(Wish wish, Consumer<String> progress) throws IOException {
    List<Panel> panels = new ArrayList<>();
    for (boolean causal : wish.causal()) {
      panels.add(panel(wish, causal, progress));
    }
    progress.accept("feature maps, " + RATE_INPUT);
    ErrorProblem rate = ErrorProblem.of(RATE_INPUT, wish.n(), false, wish.seed(), wish.threads());
    return new ErrorReport(wish, List.copyOf(panels), features(wish, rate, false));
  }

  private static Panel panel(Wish wish, boolean causal, Consumer<String> progress)
      throws IOException {
    String mask = causal ? "causal" : "no mask";
    ErrorProblem problem =
        ErrorProblem.of(wish.input(), wish.n(), causal, wish.seed(), wish.threads());
    progress.accept("knobs, " + mask);
    List<KnobCurve> knobs = knobs(wish, problem);
    progress.accept("feature maps, " + mask);
    Features features = features(wish, problem, true);
    progress.accept("errors by head, position and distance, " + mask);
    int positions = Math.min(EffectiveWeights.MOST_POSITIONS, wish.n());
    ErrorProblem small =
        ErrorProblem.of(wish.input(), positions, causal, wish.seed(), wish.threads());
    List<PlaceStudy> places = new ArrayList<>();
    List<String> specs = wish.mechanisms().isEmpty() ? usual(small) : wish.mechanisms();
    for (String spec : specs) {
      PlaceStudy.of(small, spec, Math.min(wish.seeds(), 5)).ifPresent(places::add);
    }
    progress.accept("spectra, " + mask);
    List<Spectrum> spectra = new ArrayList<>(Spectrum.of(small));
    for (String gaussian : List.of("gaussian:scale=1", "gaussian:scale=4")) {
      spectra.add(
          Spectrum.of(ErrorProblem.of(gaussian, positions, causal, wish.seed(), wish.threads()))
              .getFirst());
    }
    AttentionRows rows =
        AttentionRows.of(new Tiled().exactTarget(problem.shape(), problem.mask(), problem.qkv()));
    return new Panel(problem, rows, knobs, features, List.copyOf(places), List.copyOf(spectra));
  }

  /// Every mechanism with a knob; those that cannot honour the mask give no points.
  private static List<KnobCurve> knobs(Wish wish, ErrorProblem problem) {
    int n = problem.shape().querySeqLen();
    List<KnobCurve> curves = new ArrayList<>();
    add(curves, problem, "Longformer: window", "longformer", "window", powers(8, n / 2), 1);
    add(curves, problem, "Top-k: k", "topk", "top_k", powers(4, n / 2), 1);
    add(
        curves,
        problem,
        "Nyströmformer: landmarks",
        "nystromformer",
        "landmarks",
        powers(8, Math.min(512, n / 2)),
        1);
    add(
        curves,
        problem,
        "Linformer: projected length",
        "linformer",
        "projected_length",
        powers(16, Math.min(1024, n)),
        wish.seeds());
    add(
        curves,
        problem,
        "Reformer: hashes",
        "reformer:chunk_length=" + Math.clamp(n / 16, 4, 64),
        "num_hashes",
        powers(1, 16),
        wish.seeds());
    add(
        curves,
        problem,
        "Performer: features",
        "performer:" + PLAIN,
        "num_features",
        powers(FEWEST_FEATURES, MOST_FEATURES),
        wish.seeds());
    return List.copyOf(curves);
  }

  private static Features features(Wish wish, ErrorProblem problem, boolean withConstants) {
    List<Integer> counts = powers(FEWEST_FEATURES, MOST_FEATURES);
    String trigonometric = "performer:kernel=softmax_trigonometric,renorm_stabilizer=0";
    List<KnobCurve> curves = new ArrayList<>();
    String[][] maps = {
      {"positive, orthogonal", "performer:" + PLAIN},
      {"positive, independent", "performer:projection=iid," + PLAIN},
      {"hyperbolic, orthogonal", "performer:kernel=softmax_hyperbolic,renorm_stabilizer=0"},
      {"trigonometric, orthogonal", trigonometric},
      {"trigonometric, independent", trigonometric + ",projection=iid"},
      {"authors' constants (default)", "performer"},
    };
    for (String[] map : maps) {
      if (withConstants || !map[1].equals("performer")) {
        add(curves, problem, map[0], map[1], "num_features", counts, wish.seeds());
      }
    }
    return new Features(problem, List.copyOf(curves));
  }

  private static void add(
      List<KnobCurve> curves,
      ErrorProblem problem,
      String label,
      String spec,
      String parameter,
      List<Integer> values,
      int seeds) {
    KnobCurve curve = KnobCurve.of(problem, label, spec, parameter, values, seeds);
    if (!curve.points().isEmpty()) {
      curves.add(curve);
    }
  }

  private static List<Integer> powers(int first, int last) {
    List<Integer> powers = new ArrayList<>();
    for (int value = first; value <= last; value *= 2) {
      powers.add(value);
    }
    return powers;
  }

  /// Mechanisms at about an eighth of exact attention's work on 512 positions.
  private static List<String> usual(ErrorProblem small) {
    int n = small.shape().querySeqLen();
    int eighth = Math.max(2, n / 8);
    List<String> specs = new ArrayList<>();
    specs.add("longformer:window=" + eighth);
    specs.add("topk:top_k=" + Math.max(1, n / 16));
    specs.add("reformer:chunk_length=" + eighth + ",num_hashes=4");
    if (small.mask().equals(Mask.causal())) {
      specs.add("sparse_transformer");
      specs.add("moba:block_size=" + Math.max(1, eighth / 2) + ",top_k=3");
    } else {
      specs.add("nystromformer:landmarks=" + eighth);
      specs.add("linformer:projected_length=" + eighth);
    }
    specs.add("performer:" + PLAIN);
    specs.add("performer");
    return specs;
  }
}
