// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Claim.Setting;
import dev.crossover.reports.answer.ClaimRules.Closed;
import dev.crossover.reports.answer.ClaimRules.Crosses;
import dev.crossover.reports.answer.ClaimRules.Errors;
import dev.crossover.reports.answer.ClaimRules.Grows;
import dev.crossover.reports.answer.ClaimRules.Quantity;
import dev.crossover.reports.answer.ClaimRules.Spectra;
import dev.crossover.reports.answer.ClaimRules.Times;
import dev.crossover.reports.answer.ClaimRules.WholeImage;
import dev.crossover.reports.answer.TrainedRules.Evaluated;
import dev.crossover.reports.answer.TrainedRules.Trained;
import java.util.ArrayList;
import java.util.List;

/// The papers' headline results, as shapes to look for.
///
/// Numbers marked (arith) are ratios, slopes or crossings computed from the paper's own table.
public final class PaperClaims {
  /// Setting of the forward passes: what GPU papers time, without a mask.
  public static final Setting FORWARD =
      new Setting(Study.FORWARD, "none", 64, List.of(128, 256, 512, 1024, 2048, 4096, 8192));

  /// Setting of decoding: heads as wide as those of the models of Transformers are RNNs, contexts
  /// up to the 3072 tokens of a CIFAR-10 image, with the 784 of MNIST.
  public static final Setting DECODE =
      new Setting(Study.DECODE, "causal", 32, List.of(16, 48, 98, 196, 392, 784, 1536, 3072));

  /// Setting of training steps, a forward and a backward pass, without a mask, up to the 4K of the
  /// Long Range Arena.
  public static final Setting TRAINING =
      new Setting(Study.TRAINING, "none", 64, List.of(256, 512, 1024, 2048, 4096));

  /// Heads in every setting.
  public static final int HEADS = 8;

  /// Every setting in which claims are replayed.
  public static final List<Setting> SETTINGS = List.of(FORWARD, DECODE, TRAINING);

  private static final String FULL = "materialised";
  private static final String TILED = "tiled";
  private static final String LINEAR = "linear_transformer";
  private static final String LINFORMER = "linformer";
  private static final String LINFORMER_128 = "linformer:projected_length=128";
  private static final String LONGFORMER = "longformer:window=128";
  private static final String NYSTROM = "nystromformer";
  private static final String LSH = "reformer";
  private static final String PERFORMER = "performer";
  private static final String BIGBIRD = "bigbird";

  private static final String WHOLE_MODEL =
      "The paper times whole models, in which projections and feed-forward layers cost the same"
          + " with either attention and dilute the factor; here it is attention alone.";
  private static final String SORTING =
      "On a TPU hashing, sorting and gathering outweigh the products that Reformer saves; here they"
          + " run on a CPU, whose caches hold the gathered rows.";
  private static final String THROUGHPUT =
      "The paper compares images a second of large batches on a GPU, which a growing cache keeps"
          + " small; here it is the latency of one sequence in one attention layer on a CPU.";
  private static final String LAYERS =
      "The paper times attention layers with their projections on a GPU, against a softmax that"
          + " PyTorch materialises; here it is the attention alone, against a materialised baseline"
          + " of the same vector kernels on a CPU.";
  private static final String GPU_KERNELS =
      "The paper's baselines run at a GPU's full rate while each rival is plain PyTorch, slowed by"
          + " many small kernels; here baselines and rivals share one set of CPU kernels.";
  private static final String SORTING_GPU =
      "On a GPU Reformer sorts and gathers through slow memory in many small kernels; here it"
          + " shares the CPU kernels of both baselines, and the caches hold the gathered rows.";
  private static final String TILING =
      "On a GPU tiling saves traffic to slow memory; here both baselines run the same kernels on a"
          + " CPU, whose caches hold what the GPU reads again.";
  private static final String CURVES =
      "The paper shows curves of whole layers on a GPU and no number; here it is attention alone on"
          + " a CPU, at lengths where lower-order terms still count.";
  private static final String STEP_CURVES =
      "The paper shows curves of a forward and backward pass of whole layers on a GPU and no"
          + " number; here it is attention alone on a CPU, at lengths where lower-order terms still"
          + " count.";
  private static final String KEPT =
      "The paper reports the peak memory of training whole models on a TPU; here it is what the"
          + " mechanism itself allocates and keeps between the passes, counted.";
  private static final String COUNTED =
      "The paper reports a GPU's peak memory, which holds inputs, outputs and projections too; here"
          + " it is what the mechanism itself allocates, counted.";
  private static final String FEATURES =
      "The paper draws inputs of its own; here they are standard Gaussian, for which so few"
          + " features leave errors above 100 %, whose heavy tails orthogonal draws do not cure.";
  private static final String OPERATIONS =
      "The paper counts operations, not time; here it is the time of attention alone on a CPU.";
  private static final String FITTED =
      "The benchmark's lengths come from lines fitted to times of training-mode layers on a GPU,"
          + " taken without synchronisation; its method on these records stands in a table of its"
          + " own.";

  private static final String COPYING =
      "The paper trains four layers of eight heads on 128 symbols; here it is"
          + " whatever training runs were given.";
  private static final String DUPLICATION =
      "The paper trains one layer on sequences of 1,024 tokens that are written twice; here it is"
          + " whatever training runs were given.";
  private static final String TRIANGULAR =
      "The paper looks at the twelve or more layers of a bidirectional RoBERTa; here it is a causal"
          + " model of four layers over bytes, whose attention matrices are triangular.";

  /// Every layer of the built-in language model, the lowest first.
  private static final List<String> LAYERS_OF_MODEL =
      List.of("model:layer=0", "model:layer=1", "model:layer=2", "model:layer=3");

  private PaperClaims() {}

  /// Every claim, the famous 4462 times first.
  public static List<Claim> all() {
    List<Claim> claims = new ArrayList<>();
    recurrent(claims);
    nystromformer(claims);
    flash(claims);
    linformer(claims);
    arena(claims);
    others(claims);
    return List.copyOf(claims);
  }

  private static void recurrent(List<Claim> claims) {
    Paper paper = new Paper("Transformers are RNNs", "2006.16236", WHOLE_MODEL, FORWARD, claims);
    Paper gpu = paper.in(THROUGHPUT);
    gpu.image("Table 2", "CIFAR-10, GPU throughput, nothing cached", FULL, 3072, 4462);
    paper.image("Table 5", "CIFAR-10, CPU latency, nothing cached (arith)", FULL, 3072, 191.8);
    paper.image("Table 5", "MNIST, CPU latency, nothing cached (arith)", FULL, 784, 13.2);
    gpu.image("Table 4", "CIFAR-10, GPU throughput, key/value cache (arith)", TILED, 3072, 55.8);
    paper.image("Table 5", "CIFAR-10, CPU latency, key/value cache (arith)", TILED, 3072, 1.59);
    paper.image("Table 5", "MNIST, CPU latency, key/value cache (arith)", TILED, 784, 1.35);
    paper.closed(
        "Table 5",
        "LSH attention decodes slower than cached softmax",
        "2318.9 s against 71.9 s an image",
        "Reformer has no decoding session here");
    Paper curves = paper.in(STEP_CURVES).training();
    curves.grows("Figure 1", FULL, Quantity.TIME, 2);
    curves.grows("Figure 1", LINEAR, Quantity.TIME, 1);
    curves.grows("Figure 1", LSH, Quantity.TIME, 1);
    curves.in(COUNTED).grows("Figure 1", FULL, Quantity.MEMORY, 2);
    curves.in(COUNTED).grows("Figure 1", LINEAR, Quantity.MEMORY, 1);
    curves.in(COUNTED).grows("Figure 1", LSH, Quantity.MEMORY, 1);
    paper
        .in(COPYING)
        .add(
            "Figure 2",
            "on a copy task linear attention converges like softmax, LSH ends higher",
            "curves",
            new Trained("repeat", LINEAR, TILED, LSH));
  }

  private static void nystromformer(List<Claim> claims) {
    Paper paper = new Paper("Nyströmformer", "2102.03902", LAYERS, FORWARD, claims);
    paper.grows("Table 1 (arith)", FULL, Quantity.TIME, 1.90);
    paper.grows("Table 1 (arith)", LINFORMER, Quantity.TIME, 1);
    paper.grows("Table 1 (arith)", LONGFORMER, Quantity.TIME, 1);
    paper.grows("Table 1 (arith)", NYSTROM, Quantity.TIME, 1);
    paper.times("Table 1 (arith)", LINFORMER, FULL, 8192, Quantity.TIME, 13.8);
    paper.times("Table 1 (arith)", LONGFORMER, FULL, 8192, Quantity.TIME, 4.29);
    paper.times("Table 1 (arith)", NYSTROM, FULL, 8192, Quantity.TIME, 12.6);
    paper.in(COUNTED).times("Table 1 (arith)", NYSTROM, FULL, 8192, Quantity.MEMORY, 22.7);
    paper.crosses("Table 1 (arith)", LONGFORMER, FULL, 1890);
  }

  private static void flash(List<Claim> claims) {
    Paper paper = new Paper("FlashAttention", "2205.14135", GPU_KERNELS, FORWARD, claims);
    paper.in(TILING).times("Table 18 (arith)", TILED, FULL, 8192, Quantity.TIME, 2.02);
    paper.crosses("Table 18 (arith)", LINFORMER, FULL, 530);
    paper.crosses("Table 18 (arith)", LINFORMER, TILED, 860);
    paper.crosses("Table 18 (arith)", LONGFORMER, FULL, 2360);
    paper.crosses("Table 18 (arith)", LONGFORMER, TILED, 7870);
    paper.in(SORTING_GPU).crosses("Table 18", LSH, FULL, Double.NaN);
    paper.in(SORTING_GPU).crosses("Table 18", LSH, TILED, Double.NaN);
  }

  private static void linformer(List<Claim> claims) {
    Paper paper = new Paper("Linformer", "2006.04768", WHOLE_MODEL, FORWARD, claims);
    paper.times("Table 3", LINFORMER_128, FULL, 512, Quantity.TIME, 1.5);
    paper.times("Table 3", LINFORMER_128, FULL, 2048, Quantity.TIME, 2.6);
    paper.times("Table 3", LINFORMER_128, FULL, 8192, Quantity.TIME, 5.5);
    paper.in(COUNTED).times("Table 3", LINFORMER_128, FULL, 8192, Quantity.MEMORY, 28);
    paper
        .in(TRIANGULAR)
        .add(
            "Figure 1",
            "the singular values of trained attention matrices are skewed, more so in higher"
                + " layers",
            "curves, n = 512",
            new Spectra(LAYERS_OF_MODEL, 512));
  }

  private static void arena(List<Claim> claims) {
    Paper paper = new Paper("Long Range Arena", "2011.04006", WHOLE_MODEL, TRAINING, claims);
    String where = "Table 2, training whole models (arith)";
    paper.times(where, PERFORMER, FULL, 4096, Quantity.TIME, 5.7);
    paper.times(where, LINEAR, FULL, 4096, Quantity.TIME, 5.6);
    paper.times(where, LINFORMER, FULL, 4096, Quantity.TIME, 5.5);
    paper.times(where, LONGFORMER, FULL, 4096, Quantity.TIME, 5.3);
    paper.times(where, BIGBIRD, FULL, 4096, Quantity.TIME, 1.07);
    paper.in(SORTING).times(where, LSH, FULL, 4096, Quantity.TIME, 0.79);
    Paper memory = paper.in(KEPT);
    memory.times(where, PERFORMER, FULL, 4096, Quantity.MEMORY, 8.9);
    memory.times(where, LINEAR, FULL, 4096, Quantity.MEMORY, 9.2);
    memory.times(where, LINFORMER, FULL, 4096, Quantity.MEMORY, 9.6);
    memory.times(where, LONGFORMER, FULL, 4096, Quantity.MEMORY, 6.9);
    memory.times(where, BIGBIRD, FULL, 4096, Quantity.MEMORY, 3.3);
    memory.times(where, LSH, FULL, 4096, Quantity.MEMORY, 4.2);
  }

  private static void others(List<Claim> claims) {
    Paper reformer = new Paper("Reformer", "2001.04451", CURVES, FORWARD, claims);
    reformer.grows("Figure 5: flat time a token", LSH, Quantity.TIME, 1);
    reformer
        .in(DUPLICATION)
        .add(
            "Table 2",
            "more hashes at evaluation raise accuracy",
            "trained with 4: 0.919 at 1, 0.994 at 2, 0.999 at 4, 1 at 8; with 1: 0.779 to 0.999",
            new Evaluated(
                "repeat",
                LSH,
                "num_hashes",
                List.of(1, 2, 4, 8),
                "repeat:length=32,vocab=10 -m reformer:chunk_length=4,reformer:chunk_length=4,"
                    + "num_hashes=4 --model heads=4,batch=32,steps=1000,evaluate_every=500"));
    Paper performer = new Paper("Performer", "2009.14794", FEATURES, FORWARD, claims);
    performer.errors(
        "orthogonal features have less error than independent ones",
        "performer",
        "performer:projection=iid");
    performer.errors(
        "positive features have less error than trigonometric ones",
        "performer",
        "performer:kernel=softmax_trigonometric");
    Paper longformer = new Paper("Longformer", "2004.05150", CURVES, FORWARD, claims);
    longformer.grows("Figure 1", LONGFORMER, Quantity.TIME, 1);
    longformer.in(COUNTED).grows("Figure 1", LONGFORMER, Quantity.MEMORY, 1);
    Paper benchmark = new Paper(FittedLines.BENCHMARK, "", FITTED, FORWARD, claims);
    benchmark.crosses("README", PERFORMER, FULL, 2361);
    benchmark.crosses("README", "cosformer", FULL, 2539);
    benchmark.crosses("README", NYSTROM, FULL, 3045);
    benchmark.crosses("README, local attention", LONGFORMER, FULL, 4195);
    benchmark.closed(
        "README",
        "memory crosses at 37 to 164",
        "37 to 164",
        "extrapolated below their smallest measured length, 256");
    Paper vaswani =
        new Paper("Attention Is All You Need", "1706.03762", OPERATIONS, FORWARD, claims);
    vaswani.grows("Table 1", TILED, Quantity.TIME, 2);
  }

  /// Claims of one paper.
  private record Paper(
      String title, String arxiv, String context, Setting setting, List<Claim> claims) {
    /// The same paper, where something else was measured.
    Paper in(String other) {
      return new Paper(title, arxiv, other, setting, claims);
    }

    /// The same paper, where it timed training.
    Paper training() {
      return new Paper(title, arxiv, context, TRAINING, claims);
    }

    private String step() {
      return setting.equals(TRAINING) ? " in training" : "";
    }

    void image(String where, String what, String baseline, int n, double times) {
      add(
          where,
          what + ": linear attention is " + Judgement.plain(times) + " times faster an image",
          Judgement.plain(times) + " times",
          new WholeImage(DECODE, LINEAR, baseline, n, times));
    }

    void grows(String where, String spec, Quantity quantity, double exponent) {
      String noun = quantity == Quantity.TIME ? "time" : "memory";
      add(
          where,
          noun + " of " + spec + step() + " grows like n^" + Judgement.plain(exponent),
          "n^" + Judgement.plain(exponent),
          new Grows(setting, spec, quantity, exponent));
    }

    void times(String where, String spec, String baseline, int n, Quantity quantity, double times) {
      String saves = quantity == Quantity.TIME ? " times faster than " : " times smaller than ";
      add(
          where,
          spec
              + (times < 1 ? " is slower than " : " is " + Judgement.plain(times) + saves)
              + baseline
              + step()
              + " at n = "
              + Wording.length(n),
          Judgement.plain(times) + " times",
          new Times(setting, spec, baseline, n, quantity, times));
    }

    void crosses(String where, String spec, String baseline, double n) {
      String from = Double.isNaN(n) ? "not by 8,192" : Wording.about(n);
      add(
          where,
          spec
              + " gets faster than "
              + (baseline.equals(TILED) ? "tiled exact attention" : "full attention")
              + (Double.isNaN(n) ? ": " + from : " from n = " + from),
          from,
          new Crosses(setting, spec, baseline, n));
    }

    void errors(String statement, String better, String worse) {
      add("Figure 4", statement, "order of curves", new Errors(better, worse));
    }

    void closed(String where, String statement, String theirs, String why) {
      add(where, statement, theirs, new Closed(why));
    }

    private void add(String where, String statement, String theirs, Claim.Rule rule) {
      claims.add(new Claim(title, arxiv, where, statement, theirs, rule, context));
    }
  }
}
