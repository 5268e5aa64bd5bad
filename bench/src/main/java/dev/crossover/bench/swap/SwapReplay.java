// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.conformance.Comparison;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.pretrained.MiniLm;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Replays the table of swapped mechanisms in all-MiniLM-L6-v2: cosines by text, output errors by
/// text and layer, rank correlations, on the built-in texts.
///
/// Single precision in another order of sums moves a cosine by at most 1e-6 and an error by 1e-5;
/// 1e-4 is allowed, 2e-3 for top-k, where a near-tie may flip, and for rank correlations, which
/// such flips move. Settings that draw are compared where the file holds what was drawn.
final class SwapReplay {
  private static final double ALLOWED = 1e-4;
  private static final double ALLOWED_FLIPS = 2e-3;
  private static final Pattern SEED = Pattern.compile("(.*) seed (\\d+)");
  private static final Map<String, String> WORDS = new LinkedHashMap<>();

  static {
    WORDS.put("control: uniform weights", "control:uniform");
    WORDS.put("control: own value", "control:own_value");
    WORDS.put("control: zero", "control:zero");
    WORDS.put(" + [CLS] [SEP] global", "+global=ends");
    WORDS.put(" + [CLS] global", "+global=first");
    WORDS.put(" + [SEP] global", "+global=last");
    WORDS.put("balanced pools", "balanced_pools");
    WORDS.put(" keys := queries", "+shared=queries");
    WORDS.put(" queries := keys", "+shared=keys");
  }

  private final SafeTensors file;
  private final SwapStudy study;
  private final List<Comparison> comparisons = new ArrayList<>();
  private final List<String> skipped = new ArrayList<>();

  private SwapReplay(SafeTensors file, SwapStudy study) {
    this.file = file;
    this.study = study;
  }

  static ReplayResult replay(String name, SafeTensors file, MiniLmFiles.Loaded loaded, int threads)
      throws TensorFileException {
    MiniLm model = loaded.model();
    List<int[]> texts = SwapTexts.builtIn().encode(loaded.requireTokenizer(), model.positions());
    SwapReplay replay = new SwapReplay(file, new SwapStudy(model, texts, threads));
    String[] names = file.metadata().getOrDefault("configurations", "").split("\n", -1);
    replay.requireShapes(names.length, texts.size(), model.layers());
    for (int c = 0; c < names.length; c++) {
      replay.compare(names[c], c, texts.size(), model.layers());
    }
    if (replay.comparisons.isEmpty()) {
      throw new TensorFileException(
          file.path(), "must hold a setting that can be compared, but holds none");
    }
    return MiniLmReplay.result(name, "minilm swap", replay.comparisons, replay.skipped);
  }

  private void requireShapes(int settings, int texts, int layers) throws TensorFileException {
    require("cosine", settings, texts);
    require("error", settings, texts, layers);
    require("rank", settings);
    for (String name : file.names()) {
      boolean known =
          List.of("cosine", "error", "rank", "bits").contains(name)
              || name.matches("random_(projection_\\d+|blocks_\\d+_\\d+)");
      if (!known) {
        throw new TensorFileException(file.path(), "tensors must be known, but was " + name);
      }
    }
  }

  private void require(String name, long... shape) throws TensorFileException {
    if (!Arrays.equals(file.shape(name), shape)) {
      throw new TensorFileException(
          file.path(),
          name
              + " must have shape "
              + Arrays.toString(shape)
              + " for the built-in texts, but was "
              + Arrays.toString(file.shape(name)));
    }
  }

  /// A golden file's name of a setting as it stands on the command line.
  static String commandLine(String name) {
    String text = name;
    for (Map.Entry<String, String> word : WORDS.entrySet()) {
      text = text.replace(word.getKey(), word.getValue());
    }
    return text;
  }

  private void compare(String name, int index, int texts, int layers) throws TensorFileException {
    Matcher drawn = SEED.matcher(name);
    boolean draws = drawn.matches();
    SwapSetting setting = SwapSetting.golden(commandLine(draws ? drawn.group(1) : name));
    if (draws && !drawn.group(2).equals("1") || setting.name().equals("reformer")) {
      skipped.add(name + ": the file does not hold what was drawn");
      return;
    }
    if (draws) {
      setting = setting.with(drawn(setting));
    }
    SwapStudy.Outcome outcome = study.run(setting);
    double allowed = setting.name().equals("topk") ? ALLOWED_FLIPS : ALLOWED;
    comparisons.add(
        MiniLmReplay.compare(
            name + ": cosine",
            part(file.doubles("cosine"), index, texts),
            outcome.cosines(),
            allowed));
    comparisons.add(
        MiniLmReplay.compare(
            name + ": error",
            part(file.doubles("error"), index, texts * layers),
            Arrays.stream(outcome.errors()).flatMapToDouble(Arrays::stream).toArray(),
            allowed));
    double rank = file.doubles("rank")[index];
    if (!Double.isNaN(rank)) {
      comparisons.add(
          MiniLmReplay.compare(
              name + ": rank", new double[] {rank}, new double[] {outcome.rank()}, ALLOWED_FLIPS));
    }
  }

  private static double[] part(double[] all, int index, int size) {
    return Arrays.copyOfRange(all, index * size, (index + 1) * size);
  }

  /// The tensors that the file drew for a setting, by length.
  private IntFunction<Map<String, Tensor>> drawn(SwapSetting setting) throws TensorFileException {
    if (setting.name().equals("performer")) {
      String name = "random_projection_" + setting.number("num_features");
      Tensor projection = file.tensor(name);
      return _ -> Map.of("random_projection", projection);
    }
    if (!setting.name().equals("bigbird")) {
      throw new TensorFileException(
          file.path(), "seed must be that of performer or bigbird, but was of " + setting);
    }
    int size = setting.number("block_size");
    Map<Integer, Tensor> byBlocks = new LinkedHashMap<>();
    for (int n : study.lengths()) {
      int blocks = Math.ceilDiv(n, size);
      String name = "random_blocks_" + size + "_" + blocks;
      if (file.contains(name)) {
        byBlocks.put(blocks, file.tensor(name));
      } else if (blocks > 4) {
        throw new TensorFileException(file.path(), "must hold " + name + ", but does not");
      }
    }
    return n -> {
      Tensor blocks = byBlocks.get(Math.ceilDiv(n, size));
      return blocks == null ? Map.of() : Map.of("random_blocks", blocks);
    };
  }
}
