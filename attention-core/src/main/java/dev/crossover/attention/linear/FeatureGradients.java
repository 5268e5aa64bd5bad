// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

/// Where a feature map finds the gradient of features and puts what follows from it; reused, never
/// kept by the map.
public final class FeatureGradients {
  private float[] phi = new float[0];
  private float[] ofPhi = new float[0];
  private int at;
  private float[] rows = new float[0];
  private int dim;
  private float[] parameters = new float[0];
  private int parametersAt;
  private double[] decays = new double[0];
  private int firstDecay;

  FeatureGradients() {}

  /// The features as the map wrote them, row r at `at() + r * width()`; may be overwritten.
  public float[] phi() {
    return phi;
  }

  /// The gradient of the features, laid out like [#phi]; may be overwritten.
  public float[] ofPhi() {
    return ofPhi;
  }

  /// First element of both.
  public int at() {
    return at;
  }

  /// Where to write the gradient of the rows, `[count, d]` from element 0; every element.
  public float[] ofRows() {
    return rows;
  }

  /// First element of row r in [#ofRows].
  public int rowAt(int r) {
    return r * dim;
  }

  /// Where to add what the rows contribute to the gradients of the map's parameters, as many floats
  /// as [FeatureMap#queryParameters] or [FeatureMap#keyParameters], from [#parametersAt]. One such
  /// place serves many rows of one head.
  public float[] parameters() {
    return parameters;
  }

  /// First element in [#parameters].
  public int parametersAt() {
    return parametersAt;
  }

  /// Gradient of the factor `exp(reference before key r − reference after it)` on everything before
  /// key r; with [FeatureMap.Scaling#DECAY] only.
  public double ofDecay(int r) {
    return decays[firstDecay + r];
  }

  FeatureGradients of(float[] newPhi, float[] newOfPhi, int newAt) {
    phi = newPhi;
    ofPhi = newOfPhi;
    at = newAt;
    return this;
  }

  FeatureGradients to(float[] newRows, int newDim) {
    rows = newRows;
    dim = newDim;
    return this;
  }

  FeatureGradients parameters(float[] newParameters, int newAt) {
    parameters = newParameters;
    parametersAt = newAt;
    return this;
  }

  FeatureGradients decays(double[] newDecays, int newFirst) {
    decays = newDecays;
    firstDecay = newFirst;
    return this;
  }
}
