// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The initialisers of an ONNX file: the weights, without what is done with them.
///
/// Read are ModelProto.graph (7), GraphProto.node (1) and .initializer (5); of a tensor dims (1),
/// data_type (2), name (8), raw_data (9); of a node input (1), output (2), op_type (4). Elements
/// must be float32 in raw_data: typed fields and external data are refused by name, tensors of
/// other types passed over.
///
/// Exporters keep the names of biases and tables but not those of matrices, which become
/// `onnx::MatMul_885`. [#mapOf] finds a matrix by the bias that is added to its product.
public final class OnnxFile {
  private static final int FLOAT32 = 1;
  private static final Map<Integer, String> REFUSED =
      Map.of(
          4,
          "float_data",
          5,
          "int32_data",
          7,
          "int64_data",
          10,
          "double_data",
          13,
          "external_data");

  private record Stored(long[] dims, int type, int from, int length, String refused) {}

  private record Node(String operation, List<String> inputs, List<String> outputs) {}

  private final Path path;
  private final byte[] bytes;
  private final Map<String, Stored> tensors = new LinkedHashMap<>();
  private final List<Node> nodes = new ArrayList<>();

  private OnnxFile(Path path, byte[] bytes) {
    this.path = path;
    this.bytes = bytes;
  }

  /// Reads the names and places of all initialisers.
  ///
  /// @param path the file, or the archive that holds it, for messages
  /// @param bytes of the file, not copied
  /// @throws TensorFileException if they are no ONNX model
  public static OnnxFile read(Path path, byte[] bytes) throws TensorFileException {
    OnnxFile file = new OnnxFile(path, bytes);
    WireReader model = new WireReader(path, bytes);
    while (model.next()) {
      if (model.field() == 7) {
        file.graph(model.message());
      }
    }
    if (file.tensors.isEmpty()) {
      throw new TensorFileException(path, "must be an ONNX model with initialisers, but has none");
    }
    return file;
  }

  private void graph(WireReader graph) throws TensorFileException {
    while (graph.next()) {
      if (graph.field() == 1) {
        node(graph.message());
      } else if (graph.field() == 5) {
        initialiser(graph.message());
      }
    }
  }

  private void node(WireReader node) throws TensorFileException {
    List<String> inputs = new ArrayList<>();
    List<String> outputs = new ArrayList<>();
    String operation = "";
    while (node.next()) {
      switch (node.field()) {
        case 1 -> inputs.add(node.text());
        case 2 -> outputs.add(node.text());
        case 4 -> operation = node.text();
        default -> {
          // names, attributes and the like
        }
      }
    }
    if (operation.equals("MatMul") || operation.equals("Add")) {
      nodes.add(new Node(operation, inputs, outputs));
    }
  }

  private void initialiser(WireReader tensor) throws TensorFileException {
    long[] dims = {};
    int type = 0;
    int from = 0;
    int length = -1;
    String name = "";
    String refused = "";
    while (tensor.next()) {
      int field = tensor.field();
      switch (field) {
        case 1 -> {
          long[] more = tensor.numbers();
          int before = dims.length;
          dims = Arrays.copyOf(dims, before + more.length);
          System.arraycopy(more, 0, dims, before, more.length);
        }
        case 2 -> type = (int) tensor.number();
        case 8 -> name = tensor.text();
        case 9 -> {
          from = tensor.from();
          length = tensor.length();
        }
        case 14 -> refused = tensor.number() == 0 ? refused : "external data";
        default -> refused = REFUSED.getOrDefault(field, refused);
      }
    }
    if (tensors.put(name, new Stored(dims, type, from, length, refused)) != null) {
      throw fault(name, "must be there once, but is there twice");
    }
  }

  private TensorFileException fault(String name, String what) {
    return new TensorFileException(path, "initialiser '" + name + "' " + what);
  }

  /// Names of all initialisers in the file's order.
  public List<String> names() {
    return List.copyOf(tensors.keySet());
  }

  /// Whether there is an initialiser of this name.
  public boolean has(String name) {
    return tensors.containsKey(name);
  }

  /// A tensor's elements, copied.
  ///
  /// @throws TensorFileException if it is absent, not float32 or not held in raw_data
  public Tensor tensor(String name) throws TensorFileException {
    Stored stored = tensors.get(name);
    if (stored == null) {
      throw fault(name, "must be there, but is not");
    }
    if (!stored.refused().isEmpty()) {
      throw fault(name, "must be held in raw_data, but is held in " + stored.refused());
    }
    if (stored.type() != FLOAT32) {
      throw fault(name, "must be float32 (type 1), but was type " + stored.type());
    }
    int[] shape = new int[stored.dims().length];
    long size = 1;
    for (int i = 0; i < shape.length; i++) {
      long dim = stored.dims()[i];
      if (dim < 0 || dim > stored.length()) {
        throw fault(name, "must have dimensions that its bytes fill, but was " + dim);
      }
      shape[i] = (int) dim;
      size *= dim;
      if (size > stored.length()) {
        break;
      }
    }
    if (size * Float.BYTES != stored.length()) {
      throw fault(
          name,
          "must hold four bytes an element of "
              + Arrays.toString(stored.dims())
              + ", but holds "
              + Math.max(0, stored.length()));
    }
    float[] data = new float[(int) size];
    ByteBuffer.wrap(bytes, stored.from(), stored.length())
        .order(ByteOrder.LITTLE_ENDIAN)
        .asFloatBuffer()
        .get(data);
    return Tensor.of(data, shape);
  }

  /// The matrix `[in, out]` whose product a bias is added to: of the one Add that has the bias
  /// among its inputs, the other input is made by a MatMul, and the matrix is its initialiser.
  ///
  /// @throws TensorFileException if there is no such pair, or more than one
  public Tensor mapOf(String bias) throws TensorFileException {
    Set<String> found = new LinkedHashSet<>();
    for (Node node : nodes) {
      if (node.operation().equals("Add") && node.inputs().contains(bias)) {
        for (String input : node.inputs()) {
          String matrix = input.equals(bias) ? null : matrixBehind(input);
          if (matrix != null) {
            found.add(matrix);
          }
        }
      }
    }
    if (found.size() != 1) {
      throw fault(bias, "must be added to one product with an initialiser, but was to " + found);
    }
    return tensor(found.iterator().next());
  }

  private @Nullable String matrixBehind(String output) {
    for (Node node : nodes) {
      if (node.operation().equals("MatMul") && node.outputs().contains(output)) {
        for (String input : node.inputs()) {
          if (tensors.containsKey(input)) {
            return input;
          }
        }
      }
    }
    return null;
  }
}
