// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.Ablation;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.ModelSizes;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.task.Task;
import dev.crossover.models.training.MechanismSwap;
import dev.crossover.models.training.TrainedModel;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;

/// What exchanging the attention of a trained byte-level language model does to its bits per byte
/// on text that it has not seen.
///
/// Windows of a length lie evenly over the text and do not overlap; each is read alone, and the
/// bytes of its second half are asked, so that every answer has seen half a window at least. The
/// output error is that of every block's mechanism on the inputs that the ORIGINAL model gives it
/// in the first window, so that it sees no drift that earlier blocks caused.
public final class LanguageSwapStudy {
  /// Sums in another order move a logit by some 1e-6 of its size, and a loss by no more.
  private static final double SAME_BITS = 1e-5;

  private static final String WHOLE_CACHE = "tiled:store=f32";
  private static final double SAME_ERROR = 1e-5;
  private static final int MOST_OF_MEMORY = 3;
  static final double BITS_PER_NAT = 1 / Math.log(2);

  private final TrainedModel model;
  private final byte[] text;
  private final int windows;
  private final int longest;
  private final int threads;
  private final Map<Integer, double[]> originals = new ConcurrentHashMap<>();

  /// @param model whose blocks hold mechanisms
  /// @param text bytes that it has not been trained on
  /// @param lengths bytes of windows
  /// @param windows most windows of a length
  /// @param threads number of threads, at least 1; any number gives the same bits
  /// @throws IllegalArgumentException if the text holds no window of a length
  public LanguageSwapStudy(
      TrainedModel model, byte[] text, List<Integer> lengths, int windows, int threads) {
    this.model = model;
    this.text = text.clone();
    this.windows = windows;
    this.longest = lengths.stream().mapToInt(Integer::intValue).max().orElse(2);
    this.threads = threads;
    if (windows < 1) {
      throw new IllegalArgumentException("windows must be >= 1, but was " + windows);
    }
    for (int n : lengths) {
      if (n < 2 || n >= text.length) {
        throw new IllegalArgumentException(
            "n must be from 2 to below the " + text.length + " held-out bytes, but was " + n);
      }
    }
  }

  /// Number of windows of a length: as many as do not overlap, at most those asked for.
  public int windows(int n) {
    return Math.min(windows, (text.length - 1) / n);
  }

  private int start(int n, int index) {
    int count = windows(n);
    return count == 1 ? 0 : (int) ((long) index * (text.length - n - 1) / (count - 1));
  }

  private Batch window(int n, int index) {
    int from = start(n, index);
    int[] labels = Bytes.tokens(text, from + 1, n);
    Arrays.fill(labels, 0, n / 2, Task.IGNORE);
    return Batch.of(Bytes.tokens(text, from, n), labels);
  }

  /// Bits per byte of the model as it was trained, by window.
  public double[] original(int n) {
    return originals.computeIfAbsent(n, _ -> bits(model.layers(), model.parameters(), n)).clone();
  }

  /// Bits per byte, by window.
  ///
  /// @param layers options of blocks
  /// @param parameters that fit them
  public double[] bits(LayerOptions layers, Parameters parameters, int n) {
    return firstBits(layers, parameters, n, windows(n));
  }

  /// The same for the first windows only.
  double[] firstBits(LayerOptions layers, Parameters parameters, int n, int count) {
    Model planned =
        Model.plan(
            ModelKind.LANGUAGE_MODEL,
            layers,
            parameters,
            ModelShape.of(1, n),
            Purpose.EVALUATE,
            threads);
    double[] bits = new double[count];
    for (int w = 0; w < bits.length; w++) {
      bits[w] = planned.loss(window(n, w)) * BITS_PER_NAT;
    }
    return bits;
  }

  /// The same windows decoded token by token, their first halves as prompts: what a session makes
  /// of stores and of policies that drop positions, which whole sequences do not use.
  ///
  /// @return bits per byte by window, and the state
  /// @throws UnsupportedOperationException if the mechanism does not decode, by name
  WindowDecoding.Decoded decoded(LayerOptions layers, Parameters parameters, int n) {
    return new WindowDecoding(layers, parameters, threads)
        .read(text, window -> start(n, window), windows(n), n);
  }

  /// Seconds that [#decoded] takes, from some steps.
  ///
  /// @param nanos a clock
  double decodingSeconds(LayerOptions layers, Parameters parameters, int n, LongSupplier nanos) {
    return new WindowDecoding(layers, parameters, threads).seconds(shape(n), windows(n), n, nanos);
  }

  /// A mechanism in every block; the model itself stays as it is.
  ///
  /// @param setting as on the command line; branches may be switched off
  public MechanismSwap swap(String setting) {
    return new MechanismSwap(model, setting, longest, Draws.DEFAULT_SEED);
  }

  /// The mechanism of a setting, without branches that are switched off by parameters.
  static Attention mechanism(String setting) {
    return Mechanisms.parse(Ablation.parse(setting).mechanism());
  }

  /// Output error of a swapped mechanism, as its tensors are now, by block.
  public double[] errors(MechanismSwap swap, int n) {
    return swap.transfer(ModelShape.of(1, n), 1, threads).errors(window(n, 0));
  }

  /// What plans of a mechanism may take in this process: a third of its memory.
  ///
  /// @return bytes
  static long mostMemory() {
    return Runtime.getRuntime().maxMemory() / MOST_OF_MEMORY;
  }

  /// Refuses a mechanism whose plans would take too much. They are counted with one thread, so that
  /// the same is refused with any number.
  ///
  /// @param most bytes
  /// @throws IllegalArgumentException if all blocks together need more
  void requireMemory(String setting, int n, long most) {
    Cost cost = mechanism(setting).cost(shape(n), Mask.causal(), 1);
    long needed = Math.multiplyExact(cost.scratchBytes(), model.layers().layers());
    if (needed > most) {
      throw new IllegalArgumentException(
          setting
              + " must need at most a third of the memory at "
              + n
              + " bytes ("
              + most
              + "), but needs "
              + needed);
    }
  }

  /// Floating-point operations of a mechanism beside those of exact attention.
  public double work(String setting, int n) {
    AttentionShape shape = shape(n);
    return mechanism(setting).cost(shape, Mask.causal(), threads).flops()
        / new Tiled().cost(shape, Mask.causal(), threads).flops();
  }

  /// The problem of one block.
  private AttentionShape shape(int n) {
    ModelSizes sizes = model.sizes();
    LayerOptions layers = model.layers();
    int d = sizes.size("head_dim") > 0 ? sizes.size("head_dim") : width() / layers.heads();
    int dv = sizes.size("value_dim") > 0 ? sizes.size("value_dim") : d;
    return new AttentionShape(1, layers.heads(), layers.keyValueHeads(), n, n, d, d, dv);
  }

  private int width() {
    return model.sizes().size("width");
  }

  /// Floating-point operations of one window: two for every weight and byte, and the mechanisms'.
  double flops(String setting, int n) {
    double maps = 2.0 * n * model.parameters().size();
    double mixing = mechanism(setting).cost(shape(n), Mask.causal(), threads).flops();
    return maps + model.layers().layers() * mixing;
  }

  /// Swaps in the other exact baseline, which must give the original's loss: the study's check of
  /// itself.
  ///
  /// @throws IllegalStateException if it does not
  public void check(int n) {
    MechanismSwap swap = swap(new Materialised().name());
    requireExact(original(n), bits(swap.layers(), swap.parameters(), n), errors(swap, n));
  }

  /// Decodes with the model's own caches, all of them in single precision, which must give the
  /// original's bits of the same windows read whole, since only the order of sums differs: the
  /// check of everything that is decoded.
  ///
  /// @throws IllegalStateException if it does not
  void checkDecoding(int n) {
    MechanismSwap swap = swap(WHOLE_CACHE);
    requireDecoded(original(n), decoded(swap.layers(), swap.parameters(), n).bits());
  }

  /// Refuses what decoding over a whole cache must not give.
  static void requireDecoded(double[] original, double[] decoded) {
    double most = 0;
    for (int w = 0; w < decoded.length; w++) {
      most = Math.max(most, Math.abs(decoded[w] - original[w]));
    }
    if (decoded.length != original.length || !(most <= SAME_BITS)) {
      throw new IllegalStateException(
          "a whole cache in single precision ("
              + WHOLE_CACHE
              + ") must decode the original's bits"
              + " per byte in every window (within "
              + SAME_BITS
              + "), but "
              + decoded.length
              + " of "
              + original.length
              + " windows differ by up to "
              + most);
    }
  }

  /// Refuses what an exact mechanism must not give.
  static void requireExact(double[] original, double[] bits, double[] errors) {
    double most = 0;
    for (int w = 0; w < bits.length; w++) {
      most = Math.max(most, Math.abs(bits[w] - original[w]));
    }
    double error = Arrays.stream(errors).max().orElse(Double.NaN);
    if (!(most <= SAME_BITS) || !(error <= SAME_ERROR)) {
      throw new IllegalStateException(
          "an exact mechanism swapped in must give the original's bits per byte (within "
              + SAME_BITS
              + ", output error <= "
              + SAME_ERROR
              + "), but they differ by up to "
              + most
              + " and the largest error is "
              + error);
    }
  }
}
