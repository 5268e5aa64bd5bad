// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.study;

import dev.crossover.attention.Mask;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.bench.error.EffectiveWeights;
import dev.crossover.bench.error.ErrorFile;
import dev.crossover.bench.error.ErrorPoint;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.error.KnobCurve;
import dev.crossover.bench.error.KnobGrid;
import dev.crossover.bench.error.PlaceStudy;
import dev.crossover.bench.error.Spectrum;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.jobs.Jobs;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalDouble;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;

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
  private static final int PARTS = 10;

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

  /// One mask before errors are known.
  private record Asked(ErrorProblem problem, List<KnobGrid> knobs, List<KnobGrid> features) {
    Stream<ErrorPoint> points() {
      return Stream.concat(knobs.stream(), features.stream())
          .flatMap(grid -> grid.specs(problem).stream())
          .map(ErrorPoint.on(problem));
    }

    Features features(Map<ErrorPoint, OptionalDouble> errors) {
      return new Features(problem, curves(features, errors));
    }

    List<KnobCurve> curves(List<KnobGrid> grids, Map<ErrorPoint, OptionalDouble> errors) {
      Function<String, OptionalDouble> known =
          ErrorPoint.on(problem)
              .andThen(point -> Objects.requireNonNull(errors.get(point), point::spec));
      return grids.stream()
          .map(grid -> KnobCurve.of(problem, grid, known))
          .filter(curve -> !curve.points().isEmpty())
          .toList();
    }
  }

  /// Computes a report.
  ///
  /// @param file where the errors against knobs are kept; those that it holds are not computed
  /// @param jobs where they are computed
  /// @param progress told what comes next
  /// @throws IllegalArgumentException if a label or spec is not valid
  /// @throws IOException if a file cannot be read or written
  public static ErrorReport compute(Wish wish, ErrorFile file, Jobs jobs, Consumer<String> progress)
      throws IOException {
    List<Asked> asked = new ArrayList<>();
    for (boolean causal : wish.causal()) {
      ErrorProblem problem =
          ErrorProblem.of(wish.input(), wish.n(), causal, wish.seed(), wish.threads());
      asked.add(new Asked(problem, knobs(wish, problem), features(wish, true)));
    }
    ErrorProblem gaussian =
        ErrorProblem.of(RATE_INPUT, wish.n(), false, wish.seed(), wish.threads());
    Asked rate = new Asked(gaussian, List.of(), features(wish, false));
    List<ErrorPoint> points =
        Stream.concat(asked.stream(), Stream.of(rate)).flatMap(Asked::points).toList();
    progress.accept("errors against knobs and of feature maps");
    Map<ErrorPoint, OptionalDouble> errors =
        file.complete(points, jobs, (done, of, _) -> tell(progress, done, of), progress);
    List<Panel> panels = new ArrayList<>();
    for (Asked one : asked) {
      panels.add(panel(wish, one, errors, progress));
    }
    return new ErrorReport(wish, List.copyOf(panels), rate.features(errors));
  }

  /// Tells every tenth part.
  private static void tell(Consumer<String> progress, int done, int of) {
    if (PARTS * done / of > PARTS * (done - 1) / of) {
      progress.accept("  " + done + " of " + of);
    }
  }

  private static Panel panel(
      Wish wish, Asked asked, Map<ErrorPoint, OptionalDouble> errors, Consumer<String> progress)
      throws IOException {
    ErrorProblem problem = asked.problem();
    boolean causal = problem.mask().isCausal();
    String mask = causal ? "causal" : "no mask";
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
    return new Panel(
        problem,
        rows,
        asked.curves(asked.knobs(), errors),
        asked.features(errors),
        List.copyOf(places),
        List.copyOf(spectra));
  }

  /// Every mechanism with a knob; those that cannot honour the mask give no points.
  private static List<KnobGrid> knobs(Wish wish, ErrorProblem problem) {
    int n = problem.shape().querySeqLen();
    int seeds = wish.seeds();
    String reformer = "reformer:chunk_length=" + Math.clamp(n / 16, 4, 64);
    String performer = "performer:" + PLAIN;
    return List.of(
        new KnobGrid("Longformer: window", "longformer", "window", powers(8, n / 2), 1),
        new KnobGrid("Top-k: k", "topk", "top_k", powers(4, n / 2), 1),
        new KnobGrid(
            "Nyströmformer: landmarks",
            "nystromformer",
            "landmarks",
            powers(8, Math.min(512, n / 2)),
            1),
        new KnobGrid(
            "Linformer: projected length",
            "linformer",
            "projected_length",
            powers(16, Math.min(1024, n)),
            seeds),
        new KnobGrid("Reformer: hashes", reformer, "num_hashes", powers(1, 16), seeds),
        new KnobGrid(
            "Performer: features",
            performer,
            "num_features",
            powers(FEWEST_FEATURES, MOST_FEATURES),
            seeds));
  }

  private static List<KnobGrid> features(Wish wish, boolean withConstants) {
    List<Integer> counts = powers(FEWEST_FEATURES, MOST_FEATURES);
    String trigonometric = "performer:kernel=softmax_trigonometric,renorm_stabilizer=0";
    List<KnobGrid> grids = new ArrayList<>();
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
        grids.add(new KnobGrid(map[0], map[1], "num_features", counts, wish.seeds()));
      }
    }
    return List.copyOf(grids);
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
