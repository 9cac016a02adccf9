"""devotools: deep learning for developmental biology, on the nuclei of the C. elegans embryo.

The table of contents. Each name is loaded when it is first used, so importing this is quick.
"""

import lazy_loader as _lazy

__version__ = "0.2.0.dev0"

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_validate": ["InputError"],
        "augment": ["crop_transform", "eval_transform", "train_transform"],
        "classification": [
            "STATES",
            "UNSURE",
            "Classification",
            "NucleusCropDataset",
            "ResNet18Classifier",
            "balanced_accuracy",
            "calibrate",
            "classify_nuclei",
            "confusion_matrix",
            "expected_calibration_error",
            "load_classifier",
            "mitotic_index",
            "nucleus_crops",
            "plot_reliability",
            "read_states",
            "save_classifier",
        ],
        "datasets": [
            "NucleusDataset",
            "Split",
            "make_loader",
            "read_dataset",
            "split_by_embryo",
            "synthesize_dataset",
        ],
        "evaluation": ["Scores", "evaluate"],
        "exchange": [
            "export_bioimageio",
            "export_onnx",
            "export_rois",
            "fetch_devoworm_masks",
            "fetch_wormimage",
            "import_folder",
        ],
        "images": [
            "ImageMaskPair",
            "pair_files",
            "read_image",
            "read_labels",
            "read_mask",
            "stretch_contrast",
            "write_image",
            "write_labels",
            "write_mask",
        ],
        "losses": ["segmentation_loss", "soft_dice_loss"],
        "measure": ["measure_nuclei"],
        "metrics": ["THRESHOLD", "Matches", "dice_score", "iou_score", "match_instances"],
        "model": ["ResNet18FPN", "load_model", "save_model"],
        "plots": ["draw_overlay", "plot_history", "show_batch", "show_image", "show_overlay"],
        "predict": ["label_nuclei", "predict_probabilities", "predict_probability"],
        "recipe": ["Recipe", "train_on_folder"],
        "runtime": ["choose_device", "report", "seed_everything"],
        "synthetic": [
            "Appearance",
            "Series",
            "add_label_noise",
            "draw_section",
            "synthesize_series",
        ],
        "ui": ["annotate"],
        "train": ["History", "TrainConfig", "fit"],
    },
)
