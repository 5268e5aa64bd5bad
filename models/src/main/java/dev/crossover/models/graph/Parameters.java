// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFile;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.attention.tensor.TensorFileWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The parameters of a model by name, in the order they were added: its state dict.
///
/// A tensor that is absent is an option that is off. Several graphs, for example one for training
/// and one for evaluation, may read the same store.
public final class Parameters {
  private final Map<String, Parameter> byName = new LinkedHashMap<>();

  /// An empty store.
  public Parameters() {}

  /// Adds a tensor; the store takes the tensor itself, not a copy.
  ///
  /// @param name not used before
  /// @return this store
  public Parameters add(String name, Tensor value) {
    if (byName.putIfAbsent(name, new Parameter(name, value)) != null) {
      throw new IllegalArgumentException("name must be new, but was " + name);
    }
    return this;
  }

  /// Whether a parameter of this name exists.
  public boolean has(String name) {
    return byName.containsKey(name);
  }

  /// The parameter of a name.
  ///
  /// @throws IllegalArgumentException if there is none
  public Parameter get(String name) {
    Parameter parameter = byName.get(name);
    if (parameter == null) {
      throw new IllegalArgumentException("parameters must contain " + name + ", but do not");
    }
    return parameter;
  }

  /// The parameter of a name, or null.
  public @Nullable Parameter find(String name) {
    return byName.get(name);
  }

  /// All parameters.
  public List<Parameter> all() {
    return List.copyOf(byName.values());
  }

  /// All parameters that a graph has asked the gradient of.
  public List<Parameter> trained() {
    return byName.values().stream().filter(Parameter::hasGradient).toList();
  }

  /// All names.
  public List<String> names() {
    return List.copyOf(byName.keySet());
  }

  /// Number of elements of all parameters, constants included.
  public long size() {
    return byName.values().stream().mapToLong(p -> p.value().size()).sum();
  }

  /// Sets every gradient to zero.
  public void clearGradients() {
    for (Parameter parameter : byName.values()) {
      if (parameter.hasGradient()) {
        Arrays.fill(parameter.gradient().data(), 0);
      }
    }
  }

  /// A store with copies of all tensors and no gradients.
  public Parameters copy() {
    Parameters copy = new Parameters();
    for (Parameter parameter : byName.values()) {
      copy.add(parameter.name(), parameter.value().copy());
    }
    return copy;
  }

  /// Replaces the elements of every parameter by those of another store of the same names and
  /// shapes.
  ///
  /// @throws IllegalArgumentException if a name is missing, unknown, or a shape differs
  public void load(Parameters other) {
    if (!byName.keySet().equals(other.byName.keySet())) {
      throw new IllegalArgumentException(
          "names must be " + names() + ", but were " + other.names());
    }
    for (Parameter parameter : byName.values()) {
      Tensor from = other.get(parameter.name()).value();
      Tensor to = parameter.value();
      if (!to.hasShape(from.shape())) {
        throw new IllegalArgumentException(
            parameter.name() + " must have shape " + to + ", but was " + from);
      }
      System.arraycopy(from.data(), 0, to.data(), 0, from.size());
    }
  }

  /// Reads every floating tensor of a file whose name holds a dot.
  ///
  /// @throws TensorFileException if a tensor cannot be read
  public static Parameters read(TensorFile file) throws TensorFileException {
    Parameters parameters = new Parameters();
    for (String name : file.names()) {
      DType dtype = file.dtype(name);
      if (name.contains(".") && !dtype.isIntegral() && dtype != DType.F64) {
        parameters.add(name, file.tensor(name));
      }
    }
    return parameters;
  }

  /// Writes every parameter as F32.
  ///
  /// @throws IOException if the file cannot be written
  public void write(Path file) throws IOException {
    TensorFileWriter writer = new TensorFileWriter();
    for (Parameter parameter : byName.values()) {
      writer.add(parameter.name(), parameter.value());
    }
    writer.writeSafeTensors(file);
  }
}
