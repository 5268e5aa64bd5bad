// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.tensor.TensorFile;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.attention.tensor.TensorFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Attention weights of the layers of any model, from whatever source: this is all that graphs,
/// rollout, flow and statistics need.
///
/// Layer 0 is the one next to the input. Every layer has the same tokens; heads may differ from
/// layer to layer.
public final class AttentionStack {
  private static final String LAYER = "{layer}";

  private final List<double[][][]> layers;

  /// @param layers each `[heads][n][m]`, with one n and one m
  /// @throws IllegalArgumentException if there is no layer or head, or sizes differ
  public AttentionStack(List<double[][][]> layers) {
    require(!layers.isEmpty(), "layers must not be empty");
    this.layers = List.copyOf(layers);
    int n = queries();
    int m = keys();
    for (double[][][] layer : layers) {
      require(layer.length > 0, "heads must not be empty");
      for (double[][] head : layer) {
        boolean fits = head.length == n && Arrays.stream(head).allMatch(row -> row.length == m);
        require(fits, "attention must have " + n + " rows of " + m + " weights in every head");
      }
    }
  }

  /// Reads weights from a file.
  ///
  /// A name with `{layer}` stands for one tensor a layer, each `[heads, n, n]`, from layer 0 up to
  /// the last one that is there. Otherwise the tensor is `[layers, heads, n, n]`, or `[heads, n,
  /// n]` for a single layer. A first dimension of 1 before those of one layer is a batch of one.
  ///
  /// @param path `.safetensors`, `.npz` or `.npy`
  /// @param name the tensor's name
  public static AttentionStack read(Path path, String name) throws TensorFileException {
    TensorFile file = TensorFiles.open(path);
    List<double[][][]> layers = new ArrayList<>();
    if (name.contains(LAYER)) {
      int layer = 0;
      while (file.contains(name.replace(LAYER, Integer.toString(layer)))) {
        layers.addAll(layersOf(file, name.replace(LAYER, Integer.toString(layer)), true));
        layer++;
      }
      if (layers.isEmpty()) {
        file.shape(name.replace(LAYER, "0"));
      }
    } else {
      layers.addAll(layersOf(file, name, false));
    }
    try {
      return new AttentionStack(layers);
    } catch (IllegalArgumentException e) {
      throw new TensorFileException(path, String.valueOf(e.getMessage()));
    }
  }

  private static List<double[][][]> layersOf(TensorFile file, String name, boolean oneLayer)
      throws TensorFileException {
    long[] shape = file.shape(name);
    boolean batch = oneLayer && shape.length == 4 && shape[0] == 1;
    if (shape.length != 3 && (shape.length != 4 || (oneLayer && !batch))) {
      throw new TensorFileException(
          file.path(),
          "tensor '"
              + name
              + "' must have shape "
              + (oneLayer ? "[heads, n, n]" : "[layers, heads, n, n] or [heads, n, n]")
              + ", but was "
              + Arrays.toString(shape));
    }
    int rank = shape.length;
    int count = rank == 3 ? 1 : (int) shape[0];
    int heads = (int) shape[rank - 3];
    int n = (int) shape[rank - 2];
    int m = (int) shape[rank - 1];
    double[] values = file.doubles(name);
    List<double[][][]> layers = new ArrayList<>();
    for (int l = 0; l < count; l++) {
      layers.add(matrices(values, l * heads * n * m, heads, n, m));
    }
    return layers;
  }

  /// Consecutive matrices of a row-major array.
  static double[][][] matrices(double[] values, int from, int count, int rows, int columns) {
    double[][][] all = new double[count][rows][];
    int at = from;
    for (int c = 0; c < count; c++) {
      for (int i = 0; i < rows; i++) {
        all[c][i] = Arrays.copyOfRange(values, at, at + columns);
        at += columns;
      }
    }
    return all;
  }

  /// Number of layers.
  public int depth() {
    return layers.size();
  }

  /// Number of heads of a layer.
  public int heads(int layer) {
    return layers.get(layer).length;
  }

  /// Number of queries n.
  public int queries() {
    return layers.getFirst()[0].length;
  }

  /// Number of keys m.
  public int keys() {
    return queries() == 0 ? 0 : layers.getFirst()[0][0].length;
  }

  /// Weights `[n][m]` of one head; not a copy.
  public double[][] head(int layer, int head) {
    return layers.get(layer)[head];
  }

  /// Mean weights of a layer's heads `[n][m]`, fresh.
  public double[][] mean(int layer) {
    double[][][] heads = layers.get(layer);
    double[][] mean = new double[queries()][keys()];
    for (double[][] head : heads) {
      for (int i = 0; i < mean.length; i++) {
        for (int j = 0; j < mean[i].length; j++) {
          mean[i][j] += head[i][j] / heads.length;
        }
      }
    }
    return mean;
  }

  private static void require(boolean holds, String rule) {
    if (!holds) {
      throw new IllegalArgumentException(rule);
    }
  }
}
