//! The sections of a recipe, with their defaults.

use super::super::optimizer::AdamWParams;
use super::super::schedule::ScheduleParams;
use crate::align::{AlignParams, Candidate, CouplingParams, UnpairedParams};
use crate::objective::{Contrastive, ContrastiveKind, Klot, Objective, Regression};
use crate::side::DataSide;
use candle_core::{DType, Device};
use hiref_core::{CostKind, HirefParams, Quality};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One training problem, fully resolved: every default filled in, every path absolute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// What is to be paired.
    pub data: DataSection,
    /// How the first map is found.
    pub alignment: AlignmentSection,
    /// How the coupling is recomputed while training.
    pub coupling: CouplingSection,
    /// The map that is trained.
    pub map: MapSection,
    /// What training minimises.
    pub objective: ObjectiveSection,
    /// The optimiser.
    pub optimizer: AdamWParams,
    /// The learning rate over time.
    pub schedule: ScheduleParams,
    /// Length and batches.
    pub train: TrainSection,
    /// Evaluation.
    pub eval: EvalSection,
    /// Checkpoints.
    pub checkpoint: CheckpointSection,
    /// Where results go.
    pub output: OutputSection,
}

/// `[data]`: the two sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// Source embeddings: .npy, .safetensors or a clip-retrieval folder.
    pub source: PathBuf,
    /// Target embeddings.
    pub target: PathBuf,
    /// Tensor of the source file (safetensors) or side of its folder (`img_emb`, `text_emb`).
    pub source_key: Option<String>,
    /// The same for the target.
    pub target_key: Option<String>,
    /// The folder with the source's encoder, where it is trained and came from a folder.
    pub source_encoder: Option<PathBuf>,
    /// The same for the target.
    pub target_encoder: Option<PathBuf>,
    /// The dataset behind the source's embeddings, where its encoder is trained and the dataset has moved since.
    pub source_input: Option<PathBuf>,
    /// The same for the target.
    pub target_input: Option<PathBuf>,
    /// Row i of the source belongs to row i of the target; training must not know: the pairing of the training items is
    /// hidden by a seeded permutation, except for the anchors, and the held-out items are used for evaluation only.
    pub hide_pairs: bool,
    /// The known pairs: how many of the training items (with `hide_pairs`), or a file of rows (source, target), .npy or .csv (without).
    pub anchors: Anchors,
    /// Items held out for evaluation (with `hide_pairs`): a count, or a share below 1.
    pub held_out: f64,
}

/// The known pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Anchors {
    /// This many of the training items, drawn by the seed.
    Count(usize),
    /// A .npy file, `(k, 2)`, of integers, or two whole numbers a line: source row, target row.
    File(PathBuf),
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            source: PathBuf::new(),
            target: PathBuf::new(),
            source_key: None,
            target_key: None,
            source_encoder: None,
            target_encoder: None,
            source_input: None,
            target_input: None,
            hide_pairs: false,
            anchors: Anchors::Count(0),
            held_out: 0.0,
        }
    }
}

/// The regime a problem is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlignmentMode {
    /// Both sides already live in one space, as the two towers of CLIP do.
    SharedSpace,
    /// A few known pairs.
    #[default]
    Anchors,
    /// No known pair, or very few.
    Unpaired,
}

/// `[alignment]`: the first map and coupling. See [`AlignParams`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignmentSection {
    /// The regime.
    pub mode: AlignmentMode,
    /// Folds of the known pairs, by which one of the candidates is chosen; below 2 the first one is taken unseen.
    pub folds: usize,
    /// Rounds of the loop in each fold, where the candidate itself has no fewer: fewer cost less and tell less.
    pub selection_rounds: usize,
    /// Ridge penalty of the map on the known pairs alone, with which results are compared.
    pub baseline_penalty: f64,
    /// The settings to choose from; a name and a `refinement` table each.
    pub candidates: Vec<Candidate>,
    /// The search without known pairs, with candidates of its own.
    pub unpaired: UnpairedParams,
}

impl Default for AlignmentSection {
    fn default() -> Self {
        let AlignParams { candidates, folds, selection_rounds, baseline_penalty, unpaired, .. } =
            AlignParams::default();
        Self { mode: AlignmentMode::default(), folds, selection_rounds, baseline_penalty, candidates, unpaired }
    }
}

impl Recipe {
    /// The parameters of the alignment.
    pub fn align_params(&self) -> AlignParams {
        let AlignmentSection { mode: _, folds, selection_rounds, baseline_penalty, candidates, unpaired } =
            self.alignment.clone();
        let seed = self.train.seed;
        AlignParams {
            candidates,
            folds,
            selection_rounds,
            baseline_penalty,
            reference_items: self.coupling.reference_items,
            unpaired,
            coupling: CouplingParams { solver: self.coupling.solver(seed), ..CouplingParams::default() },
            seed,
        }
    }
}

/// By what a coupled pair is sure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairConfidence {
    /// How far it stands out from the neighbourhoods of both items: [`pair_confidence`](crate::align::pair_confidence).
    #[default]
    Margin,
    /// How much worse the next best choice is at the solver's prices: [`dual_slack`](crate::align::dual_slack). Needs
    /// `cost = "neg-dot"`.
    DualSlack,
}

/// How coupled pairs are weighted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairWeights {
    /// All alike.
    #[default]
    Equal,
    /// In the order of their confidence: from twice the mean for the surest to none for the least sure, linearly.
    Confidence,
}

/// `[coupling]`: how the coupling is recomputed in the mapped space while training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CouplingSection {
    /// Epochs between two couplings; 0 = keep the first one.
    pub recompute_every: u64,
    /// Cost between mapped source and target.
    pub cost: CostKind,
    /// How much work a coupling may cost.
    pub quality: Quality,
    /// Training ends when a new coupling changes the partners of at most this share of the items; 0 = never.
    pub settled_churn: f64,
    /// Start each coupling from the one before.
    pub warm_start: bool,
    /// The share of coupled pairs used, the surest, in (0, 1].
    pub keep: f64,
    /// Pairs that are less likely right than this are neither trained on nor part of the result: their items stay single. In
    /// [0, 1]; 0: all are.
    pub least_probability: f64,
    /// By what a pair is sure. The first coupling, the alignment's, is judged by margin in any case.
    pub confidence: PairConfidence,
    /// How the used pairs are weighted.
    pub weights: PairWeights,
    /// Share of the softened target; the coupled partner is the rest. Needs a regression objective and frozen encoders.
    pub softness: f64,
    /// Candidates among which a target is softened.
    pub candidates: usize,
    /// Temperature of the softening, in units of the scaled score (a difference of mean cosines).
    pub temperature: f64,
    /// Largest block that is paired exactly.
    pub leaf_size: usize,
    /// Largest rank of one split.
    pub max_rank: usize,
    /// Largest number of polish sweeps; chosen from the quality when absent.
    pub max_sweeps: Option<usize>,
    /// Neighbours on which the confidence of a pair is measured.
    pub neighbours: usize,
    /// Items of a side among which neighbours are looked for; more are drawn from.
    pub reference_items: usize,
}

impl Default for CouplingSection {
    fn default() -> Self {
        Self {
            recompute_every: 5,
            cost: CostKind::NegativeInnerProduct,
            quality: Quality::default(),
            settled_churn: 0.0,
            warm_start: true,
            keep: 1.0,
            least_probability: 0.0,
            confidence: PairConfidence::default(),
            weights: PairWeights::default(),
            softness: 0.0,
            candidates: 10,
            temperature: 0.05,
            leaf_size: 256,
            max_rank: 8,
            max_sweeps: None,
            neighbours: 10,
            reference_items: 16384,
        }
    }
}

impl CouplingSection {
    /// The solver's parameters.
    pub fn solver(&self, seed: u64) -> HirefParams {
        HirefParams {
            quality: self.quality,
            seed,
            leaf_size: self.leaf_size,
            max_rank: self.max_rank,
            max_sweeps: self.max_sweeps,
            ..HirefParams::default()
        }
    }
}

/// The kind of map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapKind {
    /// `x W + b`
    Linear,
    /// `x W + b + N(x)`
    #[default]
    ResidualMlp,
    /// `N(x)`: starts at random weights, not at the aligned map.
    Mlp,
    /// `x W + b + N(x)` with a transformer N.
    ResidualTransformer,
    /// `∇f(x W + b)` with a convex function f of one layer of units.
    ConvexGradient,
}

/// `[map]`: the map that is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MapSection {
    /// linear, residual-mlp, mlp, residual-transformer or convex-gradient.
    pub kind: MapKind,
    /// Hidden layers of the network, or blocks of the transformer; a convex gradient has one layer.
    pub layers: usize,
    /// Units of each hidden layer, or of the convex function; of the transformer's tokens: at most 32, or a multiple of 32.
    pub width: usize,
    /// Tokens into which the transformer turns an item.
    pub tokens: usize,
    /// Keep the linear path at its closed form and train the network, or the convex function, only.
    pub freeze_linear: bool,
    /// Train a map back as well; scores are then the mean of both directions' cosines.
    pub inverse: bool,
    /// Train a map of the target side as well, to a space where both sides meet: scores are then the negative of a learnt
    /// cost. Needs `inverse = false` and a contrastive objective: regression alone would map everything to one point.
    pub learned_cost: bool,
    /// The share of the known pairs, up to a half, that are first hidden from alignment and training, to choose by: the
    /// result is the trained map if that ranks them better than the aligned one by more than one standard error, else the
    /// aligned one; both from all known pairs. 0, or fewer than 100 pairs to hide: the trained map in any case.
    pub validation_share: f64,
}

impl Default for MapSection {
    fn default() -> Self {
        Self {
            kind: MapKind::default(),
            layers: 3,
            width: 512,
            tokens: 8,
            freeze_linear: false,
            inverse: true,
            learned_cost: false,
            validation_share: 0.2,
        }
    }
}

/// The kind of objective.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveKind {
    /// Bring each mapped source to its partner.
    #[default]
    Regression,
    /// Tell each mapped source's partner from the other targets of the batch.
    Contrastive,
    /// Both: the contrastive loss plus `transport_weight` times the mean cost of the pairs.
    Both,
}

/// `[objective]`: what training minimises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveSection {
    /// regression, contrastive or both.
    pub kind: ObjectiveKind,
    /// The contrastive loss: info-nce or sig-lip.
    pub contrastive: ContrastiveKind,
    /// Inverse temperature of the contrastive loss.
    pub scale: f64,
    /// Bias of the logits (sig-lip).
    pub bias: f64,
    /// With `both`: weight of the transport cost, the mean cost of the coupled pairs.
    pub transport_weight: f64,
    /// Share of the cosine term; the rest is the squared distance.
    pub cosine_share: f64,
    /// Share of the total weight that the anchors get; the coupled pairs share the rest.
    pub anchor_share: f64,
    /// Weight of [`Klot`] beside the objective: the map's transport plan on a batch is to be that of the map that
    /// training started from; 0 = without.
    pub klot_weight: f64,
    /// Regularisation of both plans, in units of a cosine.
    pub klot_epsilon: f64,
    /// Sinkhorn iterations for each plan.
    pub klot_iterations: usize,
}

impl Default for ObjectiveSection {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::default(),
            contrastive: ContrastiveKind::default(),
            scale: 20.0,
            bias: -10.0,
            transport_weight: 1.0,
            cosine_share: 0.5,
            anchor_share: 0.3,
            klot_weight: 0.0,
            klot_epsilon: 0.05,
            klot_iterations: 30,
        }
    }
}

impl ObjectiveSection {
    /// The term that follows the first map's transport plan and its weight, where it has any.
    pub fn klot(&self) -> Option<(Klot, f64)> {
        let klot = Klot { epsilon: self.klot_epsilon, iterations: self.klot_iterations };
        (self.klot_weight > 0.0).then_some((klot, self.klot_weight))
    }

    /// The loss.
    pub fn objective(&self) -> Objective {
        let transport = Regression { cosine_share: self.cosine_share };
        let contrastive = Contrastive { kind: self.contrastive, scale: self.scale, bias: self.bias };
        match self.kind {
            ObjectiveKind::Regression => Objective::Regression(transport),
            ObjectiveKind::Contrastive => Objective::Contrastive(contrastive),
            ObjectiveKind::Both => Objective::Both { contrastive, transport, weight: self.transport_weight },
        }
    }
}

/// `[train]`: length and batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSection {
    /// Passes over the pairs.
    pub epochs: u64,
    /// Pairs per step.
    pub batch_size: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// Train once with each of these seeds instead; figures are then means and standard deviations.
    pub seeds: Vec<u64>,
    /// Runs (seeds and variants) at a time; more than one pays where a single run cannot keep all cores busy.
    pub parallel_runs: usize,
    /// Decay of the moving average of the parameters, which is the map that is kept; 0 = none.
    pub ema: f64,
    /// Steps between two lines of `metrics.jsonl`; 0 = only the epochs.
    pub log_every: u64,
    /// The type that the map is computed in; parameters, their moments and the loss are always f32.
    pub precision: Precision,
    /// Whether encoders are trained with the map: frozen, last-blocks (with what follows them) or full.
    pub encoders: EncoderTraining,
    /// Whose encoders are trained: source, target or both.
    pub encoders_of: EncoderSides,
    /// With `last-blocks`: so many blocks.
    pub encoder_blocks: usize,
    /// GiB that inputs of trained encoders, or what enters their trained blocks, may take in memory for each side.
    pub encoder_memory: f64,
}

/// How much of an encoder is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderTraining {
    /// Nothing: embeddings stay as they are on disk.
    #[default]
    Frozen,
    /// The last blocks and what follows them.
    LastBlocks,
    /// All.
    Full,
}

/// Whose encoders are trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderSides {
    /// The source's: towards targets that stay where they are.
    #[default]
    Source,
    /// The target's.
    Target,
    /// Both.
    Both,
}

impl EncoderSides {
    /// Whether a side is among them.
    pub fn includes(self, side: DataSide) -> bool {
        match self {
            Self::Source => side == DataSide::Source,
            Self::Target => side == DataSide::Target,
            Self::Both => true,
        }
    }
}

/// The type that a map is computed in while it is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// bf16 on CUDA, f32 on the CPU.
    #[default]
    Auto,
    /// f32 everywhere.
    F32,
    /// bf16, on CUDA; the CPU has no products in it and takes f32.
    Bf16,
}

impl Precision {
    /// The type on a device.
    pub fn dtype(self, device: &Device) -> DType {
        if device.is_cuda() && self != Self::F32 { DType::BF16 } else { DType::F32 }
    }
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch_size: 2048,
            seed: 0,
            seeds: Vec::new(),
            parallel_runs: 1,
            ema: 0.999,
            log_every: 10,
            precision: Precision::Auto,
            encoders: EncoderTraining::default(),
            encoders_of: EncoderSides::default(),
            encoder_blocks: 2,
            encoder_memory: 4.0,
        }
    }
}

/// `[eval]`: evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalSection {
    /// Paired evaluation embeddings, source side; without `hide_pairs`.
    pub source: Option<PathBuf>,
    /// The target side: row i belongs to row i of the source side.
    pub target: Option<PathBuf>,
    /// Epochs between two evaluations while training; 0 = at the end only.
    pub every: u64,
    /// Neighbours of the cross-domain similarity scaling of retrieval scores; 0 = none.
    pub csls_neighbours: usize,
    /// With `hide_pairs`: also report a ridge map fitted on all true pairs, the ceiling.
    pub ceiling: bool,
}

impl Default for EvalSection {
    fn default() -> Self {
        Self { source: None, target: None, every: 0, csls_neighbours: 10, ceiling: true }
    }
}

/// `[checkpoint]`: what is kept on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointSection {
    /// Steps between two checkpoints; 0 = at the end of epochs only.
    pub every_steps: u64,
    /// Epochs between two checkpoints; 0 = by steps only.
    pub every_epochs: u64,
    /// The last checkpoints that are kept, beside the best.
    pub keep: usize,
    /// The metric that says which checkpoint is best: `epoch_loss`, or one of those of `[eval]`.
    pub best_metric: String,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self { every_steps: 0, every_epochs: 5, keep: 2, best_metric: "epoch_loss".to_owned() }
    }
}

/// `[output]`: where results go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputSection {
    /// The run's folder, against the working directory; `runs/RECIPE` when absent, or the first free `runs/RECIPE-2`, ...
    pub dir: Option<PathBuf>,
}
